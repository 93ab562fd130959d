//! Finds out which setting is at fault, and says it in words of the config.

use toml::{Table, Value};

use super::{error::{ConfigError, Problem}, load::{deserialize, insert}, source::Source};

/// The path of the first setting that fails when it stands alone, and the message it gives.
///
/// Every key has a default, so one that fails does so whatever the others are; `kind` goes with it because it decides
/// which keys a section has. This also works where the parser loses track of places (tagged sections).
pub fn find(whole: &Table, path: &[String]) -> Option<(Vec<String>, String)> {
    let table = path.iter().try_fold(whole, |table, part| table.get(part)?.as_table())?;
    let kind_first = table.get_key_value("kind").into_iter();
    for (key, value) in kind_first.chain(table.iter().filter(|(key, _)| *key != "kind")) {
        let path: Vec<String> = path.iter().chain([key]).cloned().collect();
        let Err(error) = deserialize(&alone(whole, &path)) else { continue };
        let inner = if value.is_table() { find(whole, &path) } else { None };
        if let Some(found) = inner.filter(|(_, message)| !message.starts_with("missing field")) {
            return Some(found);
        }
        return Some((path, error.message().to_owned()));
    }
    None
}

/// Only the setting at `path`, with its section's `kind`.
fn alone(whole: &Table, path: &[String]) -> Table {
    let mut out = Table::new();
    let lookup = |path: &[String]| {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(whole.get(first)?, |value, part| value.get(part)).cloned()
    };
    for kind in (1..path.len()).map(|depth| [&path[..depth], &["kind".to_owned()]].concat()) {
        if let Some(value) = lookup(&kind) {
            insert(&mut out, &kind, value);
        }
    }
    if let Some(value) = lookup(path) {
        insert(&mut out, path, value);
    }
    out
}

/// Puts the parser's message into words of the config.
pub fn explain(table: &Table, path: &[String], message: &str, sources: &[Source]) -> ConfigError {
    let key = path.join(".");
    let names = backticked(message);
    let problem = if let (true, Some((unknown, known))) = (message.starts_with("unknown field"), names.split_first()) {
        // A section that is unknown fails at each of its keys.
        let parent = &path[..path.iter().rposition(|part| part == unknown).unwrap_or(path.len())];
        let key = parent.iter().chain([unknown]).cloned().collect::<Vec<_>>().join(".");
        let problem = Problem::UnknownKey { key: key.clone(), known: known.to_vec() };
        return ConfigError::with_key(problem, &key, sources);
    } else if let Some((expected, found)) = value_at(table, path).and_then(|v| Some((allowed(message, &names)?, v))) {
        Problem::WrongValue { key: key.clone(), found: shown(found), allowed: expected }
    } else {
        Problem::Refused { key: if key.is_empty() { "config".into() } else { key.clone() }, reason: message.to_owned() }
    };
    ConfigError::with_key(problem, &key, sources)
}

fn value_at<'a>(table: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(first)?, |value, part| value.get(part))
}

/// What may stand in a place, from serde's message.
fn allowed(message: &str, names: &[String]) -> Option<String> {
    if message.starts_with("unknown variant") {
        let names: Vec<String> = names.iter().skip(1).map(|name| format!("\"{name}\"")).collect();
        return Some(if names.len() == 1 { names[0].clone() } else { format!("one of {}", names.join(", ")) });
    }
    let (_, expected) = message.split_once(", expected ")?;
    Some(match expected.trim_end() {
        "u64" | "u32" | "usize" | "u16" | "u8" => "a whole number, 0 or more".into(),
        "i64" | "i32" | "isize" => "a whole number".into(),
        "f64" | "f32" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" | "path string" => "a text".into(),
        other => other.to_owned(),
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".into(),
        other => other.to_string(),
    }
}

/// The names between backticks in a message.
fn backticked(message: &str) -> Vec<String> {
    message.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
