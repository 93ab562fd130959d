//! Finds out which setting is at fault, and says it in words of the config.

use toml::{Table, Value};

use super::{
    deserialize::{self, Refusal},
    error::{Problem, SettingError},
    source::Source,
    table,
};

/// Why a table is no config, shown where the setting at fault is written.
pub fn diagnose(whole: &Table, refusal: Refusal, sources: &[Source]) -> SettingError {
    let (path, refusal) = first_refused(whole, &[]).unwrap_or((Vec::new(), refusal));
    let mut key = path.join(".");
    let problem = match refusal {
        Refusal::UnknownKey { key: unknown, known } => {
            // A section that is unknown fails at each of its keys.
            let parent = &path[..path.iter().rposition(|part| *part == unknown).unwrap_or(path.len())];
            key = parent.iter().chain([&unknown]).cloned().collect::<Vec<_>>().join(".");
            Problem::UnknownKey { key: key.clone(), known: known.iter().map(|name| (*name).to_owned()).collect() }
        }
        Refusal::UnknownName { .. } | Refusal::WrongType(_) if !path.is_empty() => {
            let found = match table::get(whole, &path) {
                Some(Value::Table(_)) | None => "a table".to_owned(),
                Some(other) => other.to_string(),
            };
            Problem::WrongValue { key: key.clone(), found, allowed: allowed(whole, &path) }
        }
        other => Problem::Refused {
            key: if key.is_empty() { "config".into() } else { key.clone() },
            reason: other.to_string(),
        },
    };
    SettingError::with_key(problem, &key, sources)
}

/// The path of the first setting that fails when it stands alone, and why.
///
/// Every key has a default, so one that fails does so whatever the others are; `kind` goes with it because it decides
/// which keys a section has. This also works where serde loses track of places (tagged sections).
fn first_refused(whole: &Table, path: &[String]) -> Option<(Vec<String>, Refusal)> {
    let table = path.iter().try_fold(whole, |table, part| table.get(part)?.as_table())?;
    let kind_first = table.get_key_value("kind").into_iter();
    for (key, value) in kind_first.chain(table.iter().filter(|(key, _)| *key != "kind")) {
        let path: Vec<String> = path.iter().chain([key]).cloned().collect();
        let Err(refusal) = deserialize::config(&alone(whole, &path, value.clone())) else { continue };
        let inner = if value.is_table() { first_refused(whole, &path) } else { None };
        // One of several that must stand together is not at fault for what the others leave out; their table is.
        if value.is_table() || !matches!(refusal, Refusal::Missing(_)) {
            return inner.or(Some((path, refusal)));
        }
    }
    None
}

/// Only a value at `path`, with the `kind` of its sections.
fn alone(whole: &Table, path: &[String], value: Value) -> Table {
    let mut out = Table::new();
    for depth in 1..path.len() {
        let kind = [&path[..depth], &["kind".to_owned()]].concat();
        if let Some(value) = table::get(whole, &kind) {
            table::insert(&mut out, &kind, value.clone());
        }
    }
    table::insert(&mut out, path, value);
    out
}

/// What may stand at a path, found by trying, so that it depends on the types alone.
fn allowed(whole: &Table, path: &[String]) -> String {
    let attempt = |value: &Value| deserialize::config(&alone(whole, path, value.clone())).map(|_| ());
    let numbers = |n: usize| Value::Array(vec![Value::Float(0.5); n]);
    let samples = [
        ("a text", Value::String("?".into())),
        ("true or false", Value::Boolean(true)),
        ("a number", Value::Float(0.5)),
        ("a whole number", Value::Integer(-1)),
        ("a whole number, 0 or more", Value::Integer(1 << 32)),
        ("a whole number, 0 to 4294967295", Value::Integer(1)),
        ("a list of texts", Value::Array(vec![Value::String("?".into()); 5])),
        ("a pair of numbers, [0.5, 0.5]", numbers(2)),
        ("three numbers, [0.5, 0.5, 0.5]", numbers(3)),
        ("a table", Value::Table(Table::new())),
    ];
    let mut expected = "another value".to_owned();
    for (name, sample) in samples {
        match attempt(&sample) {
            Ok(()) => return name.to_owned(),
            Err(Refusal::Missing(_)) if sample.is_table() => return name.to_owned(),
            Err(Refusal::UnknownName { known }) => {
                let known: Vec<String> = known.iter().map(|name| format!("\"{name}\"")).collect();
                return if let [only] = &known[..] { only.clone() } else { format!("one of {}", known.join(", ")) };
            }
            Err(Refusal::WrongType(words)) => expected = words,
            Err(_) => {}
        }
    }
    expected
}
