//! What programs need, as tables for people.

use twinflow_runtime::target::Target;

use super::needs::{Counts, Memory, Needs, Trial};

/// What the tables are about.
pub fn head(target: &Target) -> String {
    let [whole, share] = [target.memory, target.memory_for_a_run].map(|size| size.map_or("unknown".into(), bytes));
    format!("{}: {whole} of memory, {share} of it for a run (device.memory_fraction)\n", target.name)
}

/// A program's table: memory, cost, and the shares of module scopes.
pub fn of_program(needs: &Needs, target: &Target) -> String {
    let mut lines = vec![format!("{}  (compiled in {:.1} s)", needs.program, needs.compile_seconds)];
    lines.extend(memory_lines(needs, target));
    lines.extend(cost_lines(needs));
    lines.extend(needs.trial.as_ref().map(trial_line));
    lines.extend(scope_lines(needs));
    lines.join("\n") + "\n"
}

fn memory_lines(needs: &Needs, target: &Target) -> Vec<String> {
    let Memory { argument, output, alias, temporary, peak } = needs.memory;
    let mut lines = vec![
        row("arguments", &bytes(argument)),
        row("outputs", &format!("{}, of which {} lie in donated arguments", bytes(output), bytes(alias))),
        row("temporary", &bytes(temporary)),
        row("peak", &bytes(peak)),
    ];
    if let (Some(false), Some(most)) = (needs.fits, target.memory_for_a_run) {
        let more = bytes(peak - most);
        lines.push(row("WARNING", &format!("does not fit: {more} more than the {} for a run", bytes(most))));
    }
    lines
}

fn cost_lines(needs: &Needs) -> Vec<String> {
    let Counts { flops, product_flops, bytes: moved } = needs.cost;
    let products = format!("{} of them in products", share(product_flops, flops));
    let mut lines = vec![
        row("operations", &format!("{}, {products}", decimal(flops as f64, "FLOP"))),
        row("bytes", &format!("{} by single operations, before fusion", decimal(moved as f64, "B"))),
        row("intensity", &format!("{:.1} FLOP per byte", flops as f64 / moved.max(1) as f64)),
    ];
    if let Some(seconds) = needs.least_seconds {
        lines.push(row(
            "time",
            &format!("at least {:.3} ms, at the peak rates of bf16 products and of memory", 1e3 * seconds),
        ));
    }
    if needs.open_loops > 0 {
        let note = format!("{} loops of unknown length are counted as one step each", needs.open_loops);
        lines.push(row("note", &note));
    }
    lines
}

fn trial_line(trial: &Trial) -> String {
    match trial {
        Trial::Ran => row("trial", "ran once, on zeros"),
        Trial::Failed(message) => row("PROBLEM", &format!("cannot run here: {message}")),
    }
}

/// Shares of the operations and bytes, largest first, down to a thousandth.
fn scope_lines(needs: &Needs) -> Vec<String> {
    let whole = needs.cost;
    let counts = |cost: &Counts| 1000 * cost.flops >= whole.flops || 1000 * cost.bytes >= whole.bytes;
    let mut scopes: Vec<_> = needs.scopes.iter().filter(|(_, cost)| counts(cost)).collect();
    scopes.sort_by_key(|(_, cost)| std::cmp::Reverse((cost.flops, cost.bytes)));
    let width = scopes.iter().map(|(scope, _)| scope.len()).max().unwrap_or(0).max(NO_SCOPE.len());
    let title = format!("  {:<width$}  {:>8}  {:>8}", "module scope", "FLOP", "bytes");
    let line = |(scope, cost): (&String, &Counts)| {
        let scope = if scope.is_empty() { NO_SCOPE } else { scope };
        let (flops, moved) = (share(cost.flops, whole.flops), share(cost.bytes, whole.bytes));
        format!("  {scope:<width$}  {flops:>8}  {moved:>8}")
    };
    [title].into_iter().chain(scopes.into_iter().map(line)).collect()
}

const NO_SCOPE: &str = "(outside of modules)";

fn row(name: &str, value: &str) -> String {
    format!("  {name:<12}{value}")
}

fn share(part: u64, whole: u64) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

/// Bytes in binary units.
fn bytes(count: u64) -> String {
    let (unit, size) = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, size)| count >= *size)
        .unwrap_or(("B", 1));
    if size == 1 { format!("{count} B") } else { format!("{:.2} {unit}", count as f64 / size as f64) }
}

/// A count in decimal units.
fn decimal(count: f64, unit: &str) -> String {
    let prefixes = [("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)];
    let (prefix, size) = prefixes.into_iter().find(|(_, size)| count >= *size).unwrap_or(("", 1.0));
    let digits = if size == 1.0 { 0 } else { 2 };
    format!("{:.digits$} {prefix}{unit}", count / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_cannot_run_is_a_problem() {
        let line = trial_line(&Trial::Failed("DotThunk: unimplemented".into()));
        assert_eq!(line, "  PROBLEM     cannot run here: DotThunk: unimplemented");
        assert_eq!(trial_line(&Trial::Ran), "  trial       ran once, on zeros");
    }

    #[test]
    fn counts_have_the_unit_that_suits_them() {
        assert_eq!([0, 1023, 1536, 5 << 30].map(bytes), ["0 B", "1023 B", "1.50 KiB", "5.00 GiB"]);
        assert_eq!([0.0, 8.0, 1.234e13].map(|count| decimal(count, "FLOP")), ["0 FLOP", "8 FLOP", "12.34 TFLOP"]);
        assert_eq!((share(1, 3), share(0, 0)), ("33.3 %".into(), "0.0 %".into()));
    }
}
