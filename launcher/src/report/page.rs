//! The report's HTML.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    charts, evaluation,
    html::{escape, table},
    material::{Material, Steps},
};
use crate::{
    pictures::{Chart, PictureError},
    run_folder::Environment,
};

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 86rem; margin: 0 auto; padding: 1rem 1.5rem 4rem;
  color: #222; background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 2rem; padding: 0; list-style: none; color: #555; }
.facts b { color: #222; }
.grid { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.pictures { display: flex; flex-wrap: wrap; gap: 1.2rem; }
figure { margin: 0; } figcaption { color: #555; margin-bottom: .3rem; }
.pictures img { width: 20rem; max-width: 100%; border: 1px solid #ddd; }
.pictures figure:last-child img { width: 40rem; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; margin: .5rem 0 1.2rem; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #e4e4e4; vertical-align: top;
  overflow-wrap: anywhere; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; }
";

/// All that the folder of a run shows, in sections; those without content are left out.
///
/// # Errors
/// A chart that cannot be drawn.
pub fn page(material: &Material) -> Result<String, PictureError> {
    let name = escape(&material.name);
    let sections = [
        section("Curves", &curves(&material.steps)?),
        section("Samples over time", &pictures(material)),
        section("Evaluation", &material.evaluation.as_deref().map_or(String::new(), evaluation::section)),
        section("Environment", &material.environments.iter().map(environment).collect::<String>()),
        section("Settings", &format!("<pre>{}</pre>", escape(&material.config))),
    ];
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{name} - TwinFlow-XLA</title><style>{STYLE}</style></head>\n<body>\n<h1>{name}</h1>\n{}{}</body></html>\n",
        summary(&material.steps),
        sections.concat()
    ))
}

/// A headed part of the page; nothing without a content.
fn section(title: &str, content: &str) -> String {
    if content.is_empty() { String::new() } else { format!("<h2>{title}</h2>\n{content}\n") }
}

fn summary(Steps { last, seconds, skipped, rates, .. }: &Steps) -> String {
    let Some(last) = last else { return "<p>No step is done yet.</p>\n".to_owned() };
    let mut rates = rates.clone();
    rates.sort_by(f64::total_cmp);
    let mut facts = vec![
        ("steps", last.step.to_string()),
        ("phase", escape(&last.phase)),
        ("time in steps", duration(*seconds)),
        ("samples per second (median)", format!("{:.0}", rates[rates.len() / 2])),
        ("last loss", format!("{:.4}", last.loss)),
    ];
    if *skipped > 0 {
        facts.push(("steps left out, not finite", skipped.to_string()));
    }
    let facts: String = facts.iter().map(|(name, value)| format!("<li>{name} <b>{value}</b></li>")).collect();
    format!("<ul class=\"facts\">{facts}</ul>\n")
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{seconds:.1} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The charts, and what their dashed lines mean.
fn curves(steps: &Steps) -> Result<String, PictureError> {
    let charts = charts::all(&steps.history).iter().map(figure).collect::<Result<String, _>>()?;
    let phase = |(step, phase): &(u64, String)| format!("{} phase, at step {step}", escape(phase));
    let phases: Vec<String> = steps.history.later_phases().iter().map(phase).collect();
    let dashes = match phases.is_empty() {
        true => String::new(),
        false => format!("<p>A dashed line is the start of another phase: {}.</p>\n", phases.join("; ")),
    };
    Ok(if charts.is_empty() { charts } else { format!("{dashes}<div class=\"grid\">{charts}</div>") })
}

/// Nothing for a chart without curves.
fn figure(chart: &Chart) -> Result<String, PictureError> {
    let title = escape(&chart.title);
    let svg = chart.to_svg()?;
    Ok(svg.map_or(String::new(), |svg| format!("<figure class=\"chart\" aria-label=\"{title}\">{svg}</figure>\n")))
}

fn pictures(material: &Material) -> String {
    let figure = |(name, png): &(String, Vec<u8>)| {
        let (name, data) = (escape(name), BASE64_STANDARD.encode(png));
        format!(
            "<figure><figcaption>{name}</figcaption>\
             <img alt=\"samples, {name}\" src=\"data:image/png;base64,{data}\"></figure>\n"
        )
    };
    let figures: String = material.pictures.iter().map(figure).collect();
    let note = material.classes_note().map_or(String::new(), |note| format!("<p>Of the classes: {note}.</p>\n"));
    if figures.is_empty() { figures } else { format!("{note}<div class=\"pictures\">\n{figures}</div>") }
}

fn environment(environment: &Environment) -> String {
    let Environment { started, after_step, command, program, host, processor, cores, ranks, mpi, hdf5, .. } =
        environment;
    let start = if *after_step == 0 { "start".to_owned() } else { format!("resumed after step {after_step}") };
    let rows = [
        (start.as_str(), date(*started)),
        ("command", command.clone()),
        ("program", program.clone()),
        ("machine", format!("{host}: {processor}, {cores} cores for each process")),
        ("processes", ranks.to_string()),
        ("devices of a process", environment.devices.join(", ")),
        ("XLA plugin", environment.plugin.clone()),
        ("XLA", environment.xla.clone()),
        ("MPI", mpi.clone().unwrap_or_else(|| "none".to_owned())),
        ("HDF5", hdf5.clone()),
    ];
    table(&[], &rows.map(|(name, value)| vec![name.to_owned(), value]))
}

/// Seconds since 1970 as date and time in UTC.
fn date(seconds: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut days, mut year) = (seconds / 86_400, 1970);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year}-{:02}-{:02} {hour:02}:{minute:02} UTC", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_know_leap_years() {
        let dates = [0, 951_782_400, 951_868_800, 1_735_689_599].map(date);
        assert_eq!(
            dates,
            ["1970-01-01 00:00 UTC", "2000-02-29 00:00 UTC", "2000-03-01 00:00 UTC", "2024-12-31 23:59 UTC"]
        );
    }
}
