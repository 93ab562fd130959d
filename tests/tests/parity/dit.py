"""DiT (Peebles & Xie 2023) in plain PyTorch, of two times: what exported weights must load into as they are.

Names and order of operations follow the public implementation (facebookresearch/DiT, models.py). What differs: `r_embedder`
for the target time, whose embedding is added to that of t; `x_embedder.proj` and `final_layer.linear` are linear layers
over flattened patches, ordered row, column, channel; queries and keys are normalised per head (`qk_norm`).

    dit.py run WEIGHTS SAMPLE OUTPUT   the velocity of a sample by these weights
    dit.py make WEIGHTS SAMPLE         random weights, and a sample with its velocity
"""

import sys

import torch
from safetensors.torch import load_file, save_file
from torch import nn

HEADS, PATCH, CLASSES = 2, 2, 3


def modulate(x, shift, scale):
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class PatchEmbed(nn.Module):
    def __init__(self, patch_size, width):
        super().__init__()
        self.proj = nn.Linear(patch_size, width)

    def forward(self, x):
        b, h, w, c = x.shape
        x = x.reshape(b, h // PATCH, PATCH, w // PATCH, PATCH, c).permute(0, 1, 3, 2, 4, 5)
        return self.proj(x.flatten(3).flatten(1, 2))


class TimestepEmbedder(nn.Module):
    def __init__(self, width, features=256):
        super().__init__()
        self.features = features
        self.mlp = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t):
        half = self.features // 2
        frequencies = 1e4 ** -(torch.arange(half, dtype=torch.float64) / half)
        angles = t[:, None] * (1000 * frequencies).float()
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))


class LabelEmbedder(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)

    def forward(self, labels):
        return self.embedding_table(labels)


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.q_norm = nn.RMSNorm(width // HEADS, eps=1e-6)
        self.k_norm = nn.RMSNorm(width // HEADS, eps=1e-6)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)
        x = nn.functional.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v)
        return self.proj(x.transpose(1, 2).reshape(b, t, d))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU(approximate="tanh")
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class DiTBlock(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = Mlp(width, hidden)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x, c):
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.adaLN_modulation(c).chunk(6, dim=1)
        x = x + gate_1.unsqueeze(1) * self.attn(modulate(self.norm1(x), shift_1, scale_1))
        return x + gate_2.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift_2, scale_2))


class FinalLayer(nn.Module):
    def __init__(self, width, patch_size):
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(width, patch_size)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x, c):
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


def position_embedding(rows, columns, width):
    """The first half of the channels tells the row, the second the column; sines before cosines."""
    frequencies = 1e4 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    waves = [wave for place in (row, column) for angle in [place.reshape(-1, 1) * frequencies]
             for wave in (angle.sin(), angle.cos())]
    return torch.cat(waves, dim=1).float()


class DiT(nn.Module):
    def __init__(self, channels, width, depth, hidden):
        super().__init__()
        patch_size = PATCH * PATCH * channels
        self.x_embedder = PatchEmbed(patch_size, width)
        self.t_embedder = TimestepEmbedder(width)
        self.r_embedder = TimestepEmbedder(width)
        self.y_embedder = LabelEmbedder(CLASSES, width)
        self.blocks = nn.ModuleList([DiTBlock(width, hidden) for _ in range(depth)])
        self.final_layer = FinalLayer(width, patch_size)

    def forward(self, x, t, r, y):
        b, h, w, c = x.shape
        rows, columns = h // PATCH, w // PATCH
        tokens = self.x_embedder(x)
        tokens = tokens + position_embedding(rows, columns, tokens.shape[-1])
        condition = self.t_embedder(t) + self.r_embedder(r) + self.y_embedder(y)
        for block in self.blocks:
            tokens = block(tokens, condition)
        x = self.final_layer(tokens, condition)
        return x.reshape(b, rows, columns, PATCH, PATCH, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)


def run(weights, sample):
    width, patch_size = weights["x_embedder.proj.weight"].shape
    depth = sum(name.endswith(".attn.qkv.bias") for name in weights)
    hidden = weights["blocks.0.mlp.fc1.bias"].shape[0]
    model = DiT(patch_size // (PATCH * PATCH), width, depth, hidden)
    model.load_state_dict(weights)
    with torch.no_grad():
        return model(sample["x"], sample["t"], sample["r"], sample["y"].long())


def make(weights_path, sample_path):
    torch.manual_seed(0)
    model = DiT(channels=3, width=8, depth=2, hidden=16)
    weights = {name: torch.randn_like(value) * 0.3 for name, value in model.state_dict().items()}
    sample = {
        "x": torch.randn(3, 4, 6, 3),
        "t": torch.tensor([0.1, 0.7, -0.4]),
        "r": torch.tensor([0.0, 0.2, -0.9]),
        "y": torch.tensor([0, 2, CLASSES], dtype=torch.int32),
    }
    save_file(weights, weights_path)
    save_file({**sample, "velocity": run(weights, sample).contiguous()}, sample_path)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", weights, sample, output]:
            save_file({"velocity": run(load_file(weights), load_file(sample)).contiguous()}, output)
        case ["make", weights, sample]:
            make(weights, sample)
        case _:
            sys.exit(__doc__)
