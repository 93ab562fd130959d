//! From TOML values to typed ones, with errors that carry facts in place of sentences.

use std::fmt::Display;

use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeOwned, Expected, IntoDeserializer, Unexpected, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use toml::{Table, Value};

use super::Config;

/// Why a value cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("unknown key `{key}`")]
    UnknownKey { key: String, known: Names },
    #[error("unknown name")]
    UnknownName { known: Names },
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` is there twice")]
    Duplicate(&'static str),
    /// Another type, or out of the type's range; what was expected, in serde's words.
    #[error("expected {0}")]
    WrongType(String),
    #[error("{0}")]
    Other(String),
}

type Names = &'static [&'static str];

impl de::Error for Refusal {
    fn custom<T: Display>(message: T) -> Self {
        Refusal::Other(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Refusal::WrongType(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Refusal::WrongType(expected.to_string())
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Refusal::WrongType(expected.to_string())
    }

    fn unknown_variant(_: &str, known: Names) -> Self {
        Refusal::UnknownName { known }
    }

    fn unknown_field(key: &str, known: Names) -> Self {
        Refusal::UnknownKey { key: key.to_owned(), known }
    }

    fn missing_field(key: &'static str) -> Self {
        Refusal::Missing(key)
    }

    fn duplicate_field(key: &'static str) -> Self {
        Refusal::Duplicate(key)
    }
}

/// A value of its own. `kind` decides which keys `[model]` and `[text_encoder]` have, so a config needs it before the others.
///
/// # Errors
/// The first [`Refusal`] met.
pub fn config(table: &Table) -> Result<Config, Refusal> {
    let mut table = table.clone();
    for (section, kind) in [("model", "dit"), ("text_encoder", "learnt")] {
        if let Some(Value::Table(section)) = table.get_mut(section) {
            section.entry("kind").or_insert_with(|| Value::String(kind.into()));
        }
    }
    Config::deserialize(Setting(Value::Table(table)))
}

/// The names that a setting may have, as its enum declares them.
pub fn names<T: DeserializeOwned>() -> Names {
    match T::deserialize(Setting(Value::String(String::new()))) {
        Err(Refusal::UnknownName { known }) => known,
        _ => &[],
    }
}

/// A setting by its name; none if it is unknown.
pub fn named<T: DeserializeOwned>(name: &str) -> Option<T> {
    T::deserialize(Setting(Value::String(name.to_owned()))).ok()
}

struct Setting(Value);

impl<'de> IntoDeserializer<'de, Refusal> for Setting {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Setting {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(flag) => visitor.visit_bool(flag),
            Value::Datetime(time) => visitor.visit_string(time.to_string()),
            Value::Array(values) => SeqDeserializer::new(values.into_iter().map(Setting)).deserialize_any(visitor),
            Value::Table(table) => entries(table).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, name: &'static str, of: Names, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::String(text) => text.into_deserializer().deserialize_enum(name, of, visitor),
            Value::Table(table) => MapAccessDeserializer::new(entries(table)).deserialize_enum(name, of, visitor),
            other => Setting(other).deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

fn entries<'de>(table: Table) -> MapDeserializer<'de, impl Iterator<Item = (String, Setting)>, Refusal> {
    MapDeserializer::new(table.into_iter().map(|(key, value)| (key, Setting(value))))
}
