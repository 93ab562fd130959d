//! `Event` messages in protobuf's wire format (tensorflow/core/util/event.proto and framework/summary.proto).

/// Fields of `Event`: wall_time 1 (double), step 2 (int64), file_version 3, summary 5, session_log 7.
fn event(wall_time: f64, step: u64, field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![key(1, FIXED_64)];
    out.extend(wall_time.to_le_bytes());
    if step > 0 {
        out.push(key(2, VARINT));
        push_varint(&mut out, step);
    }
    push_bytes(&mut out, field, content);
    out
}

/// The event that every file begins with.
pub fn version(wall_time: f64) -> Vec<u8> {
    event(wall_time, 0, 3, b"brain.Event:2")
}

/// The start of a session before a step: `SessionLog { status (1): START (1) }`.
pub fn session_start(wall_time: f64, step: u64) -> Vec<u8> {
    event(wall_time, step, 7, &[key(1, VARINT), 1])
}

/// The numbers of a step: `Summary { value (1): { tag (1), simple_value (2, float) } .. }`.
pub fn scalars(wall_time: f64, step: u64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut content = Vec::new();
        push_bytes(&mut content, 1, tag.as_bytes());
        content.push(key(2, FIXED_32));
        content.extend((*value as f32).to_le_bytes());
        push_bytes(&mut summary, 1, &content);
    }
    event(wall_time, step, 5, &summary)
}

/// A PNG at a step: `Summary { value (1): { tag (1), image (4): { height (1), width (2), colorspace (3): channels,
/// encoded_image_string (4) } } }`.
pub fn picture(wall_time: f64, step: u64, tag: &str, [height, width, channels]: [u32; 3], png: &[u8]) -> Vec<u8> {
    let mut image = Vec::new();
    for (field, value) in [(1, height), (2, width), (3, channels)] {
        image.push(key(field, VARINT));
        push_varint(&mut image, value.into());
    }
    push_bytes(&mut image, 4, png);
    let mut content = Vec::new();
    push_bytes(&mut content, 1, tag.as_bytes());
    push_bytes(&mut content, 4, &image);
    let mut summary = Vec::new();
    push_bytes(&mut summary, 1, &content);
    event(wall_time, step, 5, &summary)
}

/// Wire types.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const BYTES: u8 = 2;
const FIXED_32: u8 = 5;

/// Fields below 16 have keys of one byte.
fn key(field: u8, wire_type: u8) -> u8 {
    field << 3 | wire_type
}

fn push_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(key(field, BYTES));
    push_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Seven bits per byte, the lowest first; the highest bit says that more follow.
fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_encoded_as_protobuf_does() {
        let time = 1.0f64.to_le_bytes();
        let head = [&[0x09][..], &time, &[0x10, 0xac, 0x02]].concat();
        let summary = [0x2a, 0x0a, 0x0a, 0x08, 0x0a, 0x01, b'a', 0x15, 0, 0, 0, 0x3f];
        assert_eq!(scalars(1.0, 300, &[("a", 0.5)]), [&head[..], &summary].concat());
        assert_eq!(session_start(1.0, 300), [&head[..], &[0x3a, 2, 8, 1]].concat());
        let image = [0x2a, 15, 0x0a, 13, 0x0a, 1, b'a', 0x22, 8, 0x08, 2, 0x10, 3, 0x18, 1, 0x22, 0];
        assert_eq!(picture(1.0, 300, "a", [2, 3, 1], b"")[..head.len()], head);
        assert_eq!(picture(1.0, 300, "a", [2, 3, 1], b"")[head.len()..], image[..]);
    }
}
