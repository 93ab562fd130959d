//! The protobuf wire format, as far as compile options need it (<https://protobuf.dev/programming-guides/encoding>).

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;

/// A message under construction.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// An integer; negative ones as 64-bit two's complement, like protobuf's int64.
    pub(crate) fn int(mut self, field: u64, value: i64) -> Self {
        self.tag(field, VARINT);
        self.varint(value as u64);
        self
    }

    /// A truth value.
    pub(crate) fn bool(self, field: u64, value: bool) -> Self {
        self.int(field, value.into())
    }

    /// A double.
    pub(crate) fn double(mut self, field: u64, value: f64) -> Self {
        self.tag(field, FIXED64);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A text or packed bytes.
    pub(crate) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.tag(field, LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// An embedded message.
    pub(crate) fn message(self, field: u64, value: Message) -> Self {
        self.bytes(field, &value.0)
    }

    /// A packed list of integers.
    pub(crate) fn ints(self, field: u64, values: impl IntoIterator<Item = i64>) -> Self {
        let mut packed = Message::default();
        values.into_iter().for_each(|value| packed.varint(value as u64));
        self.message(field, packed)
    }

    /// The encoded message.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn tag(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    /// Seven bits a byte, the lowest first; the top bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_specification() {
        assert_eq!(Message::default().int(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().bytes(2, b"testing").into_bytes(), b"\x12\x07testing");
        assert_eq!(Message::default().ints(6, [3, 270, 86942]).into_bytes(), b"\x32\x06\x03\x8e\x02\x9e\xa7\x05");
        assert_eq!(
            Message::default().int(1, -1).into_bytes(),
            [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
        );
        assert_eq!(Message::default().double(4, 1.0).into_bytes(), [0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    }
}
