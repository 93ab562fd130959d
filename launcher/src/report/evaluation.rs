//! eval.json as a table.

use serde_json::{Map, Value};

use super::html::{escape, table};

/// The evaluation as HTML: a row per result and one for the training images, or for each set of captions, then its single
/// values.
pub fn section(json: &str) -> String {
    let parsed: Map<String, Value> = match serde_json::from_str(json) {
        Ok(parsed) => parsed,
        Err(error) => return format!("<p>eval.json cannot be read: {}</p>\n", escape(&error.to_string())),
    };
    let mut rows: Vec<Vec<(String, String)>> = Vec::new();
    for result in parsed.get("results").and_then(Value::as_array).into_iter().flatten() {
        rows.push(result.as_object().map_or(Vec::new(), cells));
    }
    if let Some(images) = parsed.get("train_images").and_then(Value::as_object) {
        let name = ("nfe".to_owned(), "training images".to_owned());
        rows.push(std::iter::once(name).chain(cells(images)).collect());
    }
    rows.extend(["training", "held_out"].iter().flat_map(|set| captions(set, parsed.get(*set))));
    let facts = parsed.iter().filter_map(|(name, value)| Some((heading(name), show(value)?)));
    let facts: Vec<Vec<String>> = facts.map(|(name, value)| vec![name, value]).collect();
    format!("{}{}", results(&rows), table(&[], &facts))
}

/// The results of a set of captions, and those of real pictures that were varied.
fn captions(set: &str, found: Option<&Value>) -> Vec<Vec<(String, String)>> {
    let Some(found) = found.and_then(Value::as_object) else { return Vec::new() };
    let rows = found.get("results").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let mut rows: Vec<Vec<(String, String)>> = rows.map(cells).collect();
    if let Some(varied) = found.get("varied").and_then(Value::as_object) {
        let name = ("nfe".to_owned(), "real, varied".to_owned());
        rows.push(std::iter::once(name).chain(cells(varied)).collect());
    }
    rows.iter_mut().for_each(|row| row.insert(0, ("captions".to_owned(), set.replace('_', " "))));
    rows
}

/// A column for every name that a row has, in the order in which they appear.
fn results(rows: &[Vec<(String, String)>]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let cell = |row: &[(String, String)], column: &str| {
        row.iter().find(|(name, _)| name == column).map_or(String::new(), |(_, value)| value.clone())
    };
    let lines: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
    let headings: Vec<String> = columns.iter().map(|column| heading(column)).collect();
    if lines.is_empty() { String::new() } else { table(&headings, &lines) }
}

/// The single values of an object; of how samples were made, the style and, where there is one, the guidance.
fn cells(object: &Map<String, Value>) -> Vec<(String, String)> {
    let sample = |name| object.get("sample").and_then(|sample| sample.get(name));
    let style = sample("style").and_then(show);
    let guidance = sample("guidance").filter(|scale| scale.as_f64() != Some(1.0)).and_then(show);
    let values = object.iter().filter_map(|(name, value)| Some((name.clone(), show(value)?)));
    let (mut cells, others): (Vec<_>, Vec<_>) = values.partition(|(name, _)| name == "nfe");
    cells.extend(style.map(|style| ("style".to_owned(), style)));
    cells.extend(guidance.map(|scale| ("guidance".to_owned(), scale)));
    cells.extend(others);
    cells
}

fn heading(name: &str) -> String {
    match name {
        "nfe" => "network calls".to_owned(),
        name => name.replace('_', " "),
    }
}

/// A single value as text; none for what has parts.
fn show(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_f64() => number.as_f64().map(|number| format!("{number:.4}")),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_become_rows_and_missing_values_empty_cells() {
        let html = section(
            r#"{"seed": 3, "classifier": {"file": "j"}, "train_images": {"class_accuracy": 0.5},
                "results": [{"class_accuracy": 0.25, "diversity": null, "nfe": 30, "sample": {"style": "mul"}},
                            {"nfe": 1, "diversity": 0.125}]}"#,
        );
        let words: Vec<&str> = html.split(['<', '>', '\n']).filter(|part| !part.is_empty()).collect();
        let text = words.join("|");
        assert!(text.contains("network calls|/th|th|style|/th|th|class accuracy|/th|th|diversity"), "{text}");
        assert!(text.contains("td|30|/td|td|mul|/td|td|0.2500|/td|td|/td"), "{text}");
        assert!(text.contains("td|training images|/td|td|/td|td|0.5000"), "{text}");
        assert!(text.contains("td|seed|/td|td|3|/td"), "{text}");
    }

    #[test]
    fn sets_of_captions_become_rows_that_name_them() {
        let html = section(
            r#"{"training": {"results": [{"nfe": 30, "retrieval": 0.5, "sample": {"style": "mul", "guidance": 3.5}}]},
                "held_out": {"results": [], "varied": {"retrieval": 0.75}}}"#,
        );
        let words: Vec<&str> = html.split(['<', '>', '\n']).filter(|part| !part.is_empty()).collect();
        let text = words.join("|");
        assert!(text.contains("captions|/th|th|network calls|/th|th|style|/th|th|guidance|/th|th|retrieval"), "{text}");
        assert!(text.contains("td|training|/td|td|30|/td|td|mul|/td|td|3.5000|/td|td|0.5000"), "{text}");
        assert!(text.contains("td|held out|/td|td|real, varied|/td|td|/td|td|/td|td|0.7500"), "{text}");
    }
}
