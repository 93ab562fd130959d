//! `data tokenizer`: what makes tokens of captions, put into a dataset.

use std::fs;

use miette::{Result, miette};
use twinflow_data::{CaptionLengths, Dataset, Source, Verify, set_tokenizer};
use twinflow_runtime::console::{OrReport, say};
use twinflow_tokenizer::Tokenizer;

use super::{config_of, open_checkpoint, print_line};
use crate::cli::{TokenizerArgs, TokenizerOrigin};

/// Runs `data tokenizer`.
///
/// # Errors
/// A dataset without captions; a tokenizer that cannot be read, trained or used.
pub fn tokenizer(args: &TokenizerArgs) -> Result<()> {
    let (tokenizer, tokens) = chosen(args)?;
    let tokens = args.tokens.map(|tokens| tokens as usize).or(tokens);
    let (vocabulary, fingerprint) = (tokenizer.vocabulary(), tokenizer.fingerprint());
    let lengths = set_tokenizer(&args.dataset, tokenizer, tokens).or_report()?;
    warnings(&lengths).iter().for_each(say);
    let CaptionLengths { longest, tokens, .. } = lengths;
    let file = args.dataset.display();
    print_line(format_args!(
        "{file}: tokenizer {fingerprint:08x} of {vocabulary} tokens, {tokens} per prompt; the longest caption takes {longest}"
    ))
}

/// The tokenizer asked for, and the tokens of a prompt where it was in use before.
fn chosen(args: &TokenizerArgs) -> Result<(Tokenizer, Option<usize>)> {
    let TokenizerOrigin { vocabulary, file, of, checkpoint } = &args.origin;
    if let Some(vocabulary) = vocabulary {
        let dataset = Dataset::open(&args.dataset, Verify::No).or_report()?;
        let trained = Tokenizer::train(dataset.all_captions().or_report()?, *vocabulary as usize);
        return Ok((trained.or_report()?, None));
    }
    if let Some(file) = file {
        let text = fs::read_to_string(file).map_err(|error| miette!("cannot read {}: {error}", file.display()))?;
        let tokenizer = Tokenizer::from_json(&text).map_err(|error| miette!("{}: {error}", file.display()))?;
        return Ok((tokenizer, None));
    }
    if let Some(of) = of {
        let other = Dataset::open(of, Verify::No).or_report()?;
        let found = other.tokenizer().cloned().ok_or_else(|| miette!("{} has no tokenizer", of.display()))?;
        return Ok((found, Some(other.text_shape().tokens)));
    }
    let path =
        checkpoint.as_ref().ok_or_else(|| miette!("name a tokenizer: --vocabulary, --file, --of, --checkpoint"))?;
    let checkpoint = open_checkpoint(path)?;
    let json = checkpoint.metadata().tokenizer.as_deref();
    let json = json.ok_or_else(|| miette!("{} has no tokenizer", checkpoint.path().display()))?;
    let tokens = config_of(&checkpoint, &[])?.data.text_tokens;
    Ok((Tokenizer::from_json(json).or_report()?, Some(tokens)))
}

/// What does not reach the model of the captions.
fn warnings(lengths: &CaptionLengths) -> Vec<String> {
    let CaptionLengths { longest, tokens, cut, with_unknown, unknown } = lengths;
    let mut warnings = Vec::new();
    if *cut > 0 {
        warnings
            .push(format!("{cut} captions are longer than {tokens} tokens and are cut; --tokens {longest} keeps all"));
    }
    if *with_unknown > 0 {
        let some = unknown.join("', '");
        warnings.push(format!("{with_unknown} captions hold what the tokenizer does not know, such as '{some}'"));
    }
    warnings
}
