"""A SANA-shaped step in diffusers and PyTorch, forward and backward: the peer of `make bench-sana`.

With `make` it writes the weights, the batch and the sizes that both sides compute with. Else it says `ready` and runs a
step for each line of its input; of each it prints seconds, loss and norm of the gradients.
"""

import argparse
import contextlib
import json
import pathlib
import sys
import time

import torch
from diffusers import SanaTransformer2DModel
from safetensors.torch import load_file, save_file


def network(sizes):
    """With random weights."""
    return SanaTransformer2DModel(
        in_channels=sizes["channels"],
        out_channels=sizes["channels"],
        num_attention_heads=sizes["heads"],
        attention_head_dim=sizes["width"] // sizes["heads"],
        num_layers=sizes["depth"],
        num_cross_attention_heads=sizes["cross_heads"],
        cross_attention_head_dim=sizes["width"] // sizes["cross_heads"],
        cross_attention_dim=sizes["width"],
        caption_channels=sizes["text_width"],
        mlp_ratio=2.5,
        sample_size=sizes["side"],
        patch_size=1,
    )


def make(folder, sizes):
    """Weights as the class starts with them, a batch of noise. Of each prompt the last quarter is padding."""
    torch.manual_seed(0)
    batch, side, channels, tokens = (sizes[name] for name in ("batch", "side", "channels", "text_tokens"))
    picture = batch, channels, side, side
    mask = torch.ones(batch, tokens, dtype=torch.int32)
    mask[:, tokens - tokens // 4 :] = 0
    text = torch.randn(batch, tokens, sizes["text_width"])
    inputs = {"x": torch.randn(picture), "target": torch.randn(picture), "t": torch.rand(batch), "text": text, "mask": mask}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network(sizes).state_dict(), folder / "weights.safetensors")
    save_file(inputs, folder / "batch.safetensors")
    (folder / "sizes.json").write_text(json.dumps(sizes))


class Step:
    """Loss and gradients, computed anew at each call. Weights and sums are f32 in bf16 too, as autocast keeps them."""

    def __init__(self, folder, precision, mode):
        self.model = network(json.loads((folder / "sizes.json").read_text()))
        self.model.load_state_dict(load_file(folder / "weights.safetensors"))
        self.batch = load_file(folder / "batch.safetensors")
        if precision == "bf16":
            self.context = lambda: torch.autocast("cpu", dtype=torch.bfloat16)
        else:
            self.context = contextlib.nullcontext
        self.velocity = torch.compile(self.model) if mode == "compile" else self.model

    def __call__(self):
        batch = self.batch
        self.model.zero_grad(set_to_none=True)
        with self.context():
            out = self.velocity(
                batch["x"],
                encoder_hidden_states=batch["text"],
                timestep=batch["t"] * 1000.0,
                encoder_attention_mask=batch["mask"],
                return_dict=False,
            )[0]
            loss = (out.float() - batch["target"]).square().mean()
        loss.backward()
        return loss.item()

    def gradient_norm(self):
        return sum(parameter.grad.double().square().sum().item() for parameter in self.model.parameters()) ** 0.5


def serve(step):
    step()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        loss = step()
        print(time.perf_counter() - start, loss, step.gradient_norm(), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where weights and batch are")
    parser.add_argument("--make", help="write them, for sizes given as JSON")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.folder, json.loads(arguments.make))
    else:
        serve(Step(arguments.folder, arguments.precision, arguments.mode))


if __name__ == "__main__":
    main()
