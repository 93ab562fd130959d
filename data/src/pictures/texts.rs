//! Captions as they are written beside pictures.

use serde_json::{Map, Value};

/// Keys that hold a caption where none is named.
pub(crate) const CAPTION_KEYS: [&str; 2] = ["text", "caption"];

/// A caption per line; empty lines are none.
pub(crate) fn of_lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').lines().filter_map(trimmed).collect()
}

/// A JSON object.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn json_object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        // The place is told by the caller: serde's count of lines would mislead.
        let text = error.to_string();
        text.rsplit_once(" at line").map_or(text.clone(), |(reason, _)| reason.to_owned())
    })
}

/// The captions of a JSON object: a string, or a list of them, under `key`, or else `text` or `caption`.
///
/// # Errors
/// There are none, or one is empty.
pub(crate) fn of_object(object: &Map<String, Value>, key: Option<&str>) -> Result<Vec<String>, String> {
    let keys: &[&str] = key.as_ref().map_or(&CAPTION_KEYS, std::slice::from_ref);
    let Some((key, value)) = keys.iter().find_map(|key| object.get_key_value(*key)) else {
        let known: Vec<&str> = object.keys().map(String::as_str).collect();
        return Err(format!("there is no '{}' (its keys: {})", keys.join("' or '"), known.join(", ")));
    };
    let texts = match value {
        Value::String(text) => vec![Some(text)],
        Value::Array(texts) => {
            texts.iter().map(|text| if let Value::String(text) = text { Some(text) } else { None }).collect()
        }
        _ => vec![None],
    };
    let texts: Option<Vec<&String>> = texts.into_iter().collect();
    let texts = texts.ok_or_else(|| format!("'{key}' must be a string or a list of strings"))?;
    let captions: Vec<String> = texts.iter().filter_map(|text| trimmed(text)).collect();
    match captions.is_empty() || captions.len() < texts.len() {
        true => Err(format!("'{key}' is an empty caption")),
        false => Ok(captions),
    }
}

/// A text without space around it; none if nothing is left.
pub(crate) fn trimmed(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_found_under_the_usual_keys_or_the_one_named() {
        let of = |text: &str, key| of_object(&json_object(text).unwrap(), key);
        let both = r#"{"caption": "a", "text": [" b ", "c"], "alt": "d"}"#;
        assert_eq!(of(both, None).unwrap(), ["b", "c"]);
        assert_eq!(of(both, Some("caption")).unwrap(), ["a"]);
        assert_eq!(of(r#"{"caption": "a"}"#, None).unwrap(), ["a"]);
        assert_eq!(of(both, Some("title")).unwrap_err(), "there is no 'title' (its keys: alt, caption, text)");
        assert_eq!(of("{}", None).unwrap_err(), "there is no 'text' or 'caption' (its keys: )");
        assert_eq!(of(r#"{"text": null}"#, None).unwrap_err(), "'text' must be a string or a list of strings");
        for empty in [r#"{"text": " "}"#, r#"{"text": []}"#, r#"{"text": ["a", ""]}"#] {
            assert_eq!(of(empty, None).unwrap_err(), "'text' is an empty caption");
        }
        assert_eq!(json_object("[1]").unwrap_err(), "invalid type: sequence, expected a map");
    }
}
