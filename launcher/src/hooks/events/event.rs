//! `Event` messages, the parts that are used here (tensorflow/core/util/event.proto and framework/summary.proto).

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum What {
    /// The first event of every file has it.
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Tagged>,
}

/// `Summary.Value`
#[derive(Clone, PartialEq, Message)]
pub struct Tagged {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(oneof = "Shown", tags = "2, 4")]
    pub shown: Option<Shown>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Shown {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "4")]
    Image(Image),
}

#[derive(Clone, PartialEq, Message)]
pub struct Image {
    #[prost(uint32, tag = "1")]
    pub height: u32,
    #[prost(uint32, tag = "2")]
    pub width: u32,
    /// Number of channels.
    #[prost(uint32, tag = "3")]
    pub colorspace: u32,
    /// The PNG.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    /// 1: START
    #[prost(int32, tag = "1")]
    pub status: i32,
}

impl What {
    pub fn version() -> Self {
        What::FileVersion("brain.Event:2".into())
    }

    /// The start of a session at a step makes TensorBoard forget what an earlier job said of later steps.
    pub fn session_start() -> Self {
        What::SessionLog(SessionLog { status: 1 })
    }

    pub fn scalars(values: impl Iterator<Item = (String, f64)>) -> Self {
        let tagged = |(tag, value)| Tagged { tag, shown: Some(Shown::Scalar(value as f32)) };
        What::Summary(Summary { value: values.map(tagged).collect() })
    }

    pub fn picture(tag: &str, [height, width, colorspace]: [u32; 3], png: &[u8]) -> Self {
        let image = Image { height, width, colorspace, encoded: png.to_vec() };
        What::Summary(Summary { value: vec![Tagged { tag: tag.into(), shown: Some(Shown::Image(image)) }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_encoded_as_tensorflow_does() {
        let encoded = |what| Event { wall_time: 1.0, step: 300, what: Some(what) }.encode_to_vec();
        let time = 1.0f64.to_le_bytes();
        let head = [&[0x09][..], &time, &[0x10, 0xac, 0x02]].concat();
        let summary = [0x2a, 0x0a, 0x0a, 0x08, 0x0a, 0x01, b'a', 0x15, 0, 0, 0, 0x3f];
        assert_eq!(encoded(What::scalars([("a".to_owned(), 0.5)].into_iter())), [&head[..], &summary].concat());
        assert_eq!(encoded(What::session_start()), [&head[..], &[0x3a, 2, 8, 1]].concat());
        let image = [0x2a, 16, 0x0a, 14, 0x0a, 1, b'a', 0x22, 9, 0x08, 2, 0x10, 3, 0x18, 1, 0x22, 1, b'p'];
        assert_eq!(encoded(What::picture("a", [2, 3, 1], b"p")), [&head[..], &image].concat());
        // A scalar of 0 is a value, not a default to be left out.
        let zero = encoded(What::scalars([("a".to_owned(), 0.0)].into_iter()));
        assert!(zero.ends_with(&[0x15, 0, 0, 0, 0]), "{zero:?}");
    }
}
