//! The parts of HTML that all sections use.

/// A table of texts, with a line of headings if there are any.
pub fn table(headings: &[String], rows: &[Vec<String>]) -> String {
    let line = |kind: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| format!("<{kind}>{}</{kind}>", escape(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let head = if headings.is_empty() { String::new() } else { line("th", headings) };
    let body: String = rows.iter().map(|row| line("td", row)).collect();
    format!("<table>\n{head}{body}</table>\n")
}

/// A text as HTML shows it literally.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
