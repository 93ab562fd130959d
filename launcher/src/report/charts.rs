//! Which curves are shown together.

use crate::{
    metrics::{History, words},
    pictures::{Axis, Chart, Curve},
};

/// The loss and every term of the method in one chart.
pub fn all_terms(history: &History) -> Chart {
    let tags: Vec<&str> = history.tags().filter(|tag| !is_own(tag) || *tag == "loss/total").collect();
    chart(history, "loss and its terms", Axis::Logarithmic, &tags)
}

/// A chart per subject: the loss with its parts, each other term of the method, gradient, rates.
pub fn all(history: &History) -> Vec<Chart> {
    let (parts, others): (Vec<&str>, Vec<&str>) =
        history.tags().filter(|tag| !is_own(tag) || *tag == "loss/total").partition(|tag| tag.starts_with("loss/"));
    let mut charts = vec![chart(history, "Loss and its terms", Axis::Logarithmic, &parts)];
    charts.extend(others.iter().map(|tag| chart(history, &capitalized(&words(tag)), Axis::Logarithmic, &[*tag])));
    charts.push(chart(history, "Gradient norm before clipping", Axis::Logarithmic, &["gradient/norm"]));
    charts.push(chart(history, "Learning rate", Axis::Linear, &["rate/learning_rate"]));
    charts.push(chart(history, "Samples per second", Axis::Linear, &["rate/samples_per_second"]));
    if history.points("rate/communication_seconds").iter().any(|(_, seconds)| *seconds > 1e-4) {
        let tags = ["rate/step_seconds", "rate/communication_seconds"];
        charts.push(chart(history, "Seconds per step, and of them in MPI", Axis::Linear, &tags));
    }
    charts
}

/// Whether a tag is one that every method has.
fn is_own(tag: &str) -> bool {
    ["loss/total", "gradient/norm"].contains(&tag) || tag.starts_with("rate/")
}

fn chart(history: &History, title: &str, axis: Axis, tags: &[&str]) -> Chart {
    let curve = |tag: &&str| Curve { name: words(tag), points: history.points(tag) };
    let phases = history.later_phases().iter().map(|(step, _)| *step as f64).collect();
    Chart { title: title.to_owned(), axis, curves: tags.iter().map(curve).collect(), phases }
}

fn capitalized(text: &str) -> String {
    text.chars().take(1).flat_map(char::to_uppercase).chain(text.chars().skip(1)).collect()
}
