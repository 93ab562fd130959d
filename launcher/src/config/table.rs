//! Values in tables of tables, by path.

use toml::{Table, Value};

pub fn get<'a>(table: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(first)?, |value, part| value.get(part))
}

/// Sets the value at a path, making the tables on the way.
pub fn insert(table: &mut Table, path: &[String], value: Value) {
    let [section @ .., last] = path else { return };
    let mut target = table;
    for part in section {
        let entry = target.entry(part.clone()).or_insert_with(|| Value::Table(Table::new()));
        if !entry.is_table() {
            *entry = Value::Table(Table::new());
        }
        let Value::Table(inner) = entry else { return };
        target = inner;
    }
    target.insert(last.clone(), value);
}
