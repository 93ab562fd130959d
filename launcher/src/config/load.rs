//! From texts to a [`Config`]: merges file and `--set`.

use toml::{Table, Value};

use super::{
    Config,
    deserialize::{self, Refusal},
    diagnose::diagnose,
    error::{Problem, SettingError},
    source::Source,
    table::insert,
};

/// The config of a base text with `--set` assignments on top.
///
/// # Errors
/// Texts that are not TOML, unknown keys, wrong values; each with its place.
pub fn load(base: Source, assignments: &[String]) -> Result<Config, SettingError> {
    let mut table = parse(&base)?;
    let mut sources = vec![base];
    check(&table, &sources)?;
    for text in assignments {
        let source = Source::assignment(text.clone());
        let (path, value) = match source.split_assignment() {
            Some((path, value)) => (path.into_iter().map(str::to_owned).collect::<Vec<_>>(), value.to_owned()),
            None => return Err(SettingError::nowhere(Problem::Assignment { text: text.clone() })),
        };
        insert(&mut table, &path, parse_value(&value));
        remove_other_spelling(&mut table, &path);
        sources.push(source);
        check(&table, &sources)?;
    }
    let mut config = check(&table, &sources)?;
    config.origins = super::Origins(sources);
    config.validate()?;
    Ok(config)
}

fn parse(source: &Source) -> Result<Table, SettingError> {
    source.text.parse().map_err(|error: toml::de::Error| {
        let problem = Problem::Syntax { reason: error.message().to_owned() };
        SettingError::at(problem, source, error.span())
    })
}

/// A TOML value; what is none is taken as text, so that names need no quotes in a shell.
fn parse_value(text: &str) -> Value {
    let document = format!("value = {text}").parse::<Table>();
    document.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// A key may have two spellings (its own and the public code's); the one set last counts.
fn remove_other_spelling(table: &mut Table, path: &[String]) {
    let [section, key] = path else { return };
    let Some(keys) = table.get(section).and_then(Value::as_table) else { return };
    let same = |other: &&String| *other != key && duplicates(section, key, other, keys);
    if let Some(other) = keys.keys().find(same).cloned()
        && let Some(Value::Table(keys)) = table.get_mut(section)
    {
        keys.remove(&other);
    }
}

/// Whether two keys of a section are spellings of one.
fn duplicates(section: &str, key: &str, other: &str, keys: &Table) -> bool {
    let pair = [key, other, "kind"].into_iter().filter_map(|key| Some((key.to_owned(), keys.get(key)?.clone())));
    let table = Table::from_iter([(section.to_owned(), Value::Table(pair.collect()))]);
    matches!(deserialize::config(&table), Err(Refusal::Duplicate(_)))
}

fn check(table: &Table, sources: &[Source]) -> Result<Config, SettingError> {
    deserialize::config(table).map_err(|refusal| diagnose(table, refusal, sources))
}
