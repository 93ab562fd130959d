//! Prompts of `sample`, and pictures of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use miette::{Result, miette};
use twinflow_methods::flow::SampleConfig;
use twinflow_runtime::{
    console::{OrReport, say},
    model::Model,
    sampler::{SampleSet, Subject},
};
use twinflow_tokenizer::EncodedPrompt;

use crate::{
    cli::SampleArgs,
    pictures::{captioned, grid, to_bytes},
};

/// Letters of a prompt in a file's name.
const NAME_LETTERS: usize = 60;
/// Pictures beside each other on a page.
const PER_ROW: usize = 8;

/// The prompts asked for, as text and as the model reads them; none for a model of labels.
///
/// # Errors
/// Prompts for a model that reads none, or none for one that does; an empty one; a file that cannot be read.
pub fn asked(args: &SampleArgs, model: &Model) -> Result<Option<(Vec<String>, Vec<Subject>)>> {
    let mut texts = args.prompt.clone();
    if let Some(file) = &args.prompts {
        let lines = fs::read_to_string(file).map_err(|error| miette!("cannot read {}: {error}", file.display()))?;
        texts.extend(lines.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    match (model.prompt_tokens() > 0, texts.is_empty()) {
        (false, true) => return Ok(None),
        (false, false) => {
            return Err(miette!(
                help = "choose classes by --labels",
                "the model was not trained on captions and reads no prompt"
            ));
        }
        (true, true) => {
            let help =
                "say what the picture is to show: --prompt \"a red apple\", or --prompts FILE with a prompt per line";
            return Err(miette!(help = help, "the model draws prompts, and there is none"));
        }
        (true, false) => {}
    }
    let subjects = texts.iter().map(|text| Ok(Subject::prompt(text, encode(model, text, "prompt")?)));
    let subjects = subjects.collect::<Result<_>>()?;
    Ok(Some((texts, subjects)))
}

/// What the pictures are not to show, where that is asked for.
///
/// # Errors
/// It has no effect, or is empty.
pub fn negative(args: &SampleArgs, model: &Model, config: &SampleConfig) -> Result<Option<EncodedPrompt>> {
    let Some(text) = &args.negative else { return Ok(None) };
    if config.guidance == 1.0 {
        return Err(miette!(
            help = "set a scale above 1, such as --guidance 3",
            "--negative has no effect without guidance"
        ));
    }
    encode(model, text, "negative prompt").map(Some)
}

/// A prompt as the model reads it; what it does not read of it is said.
fn encode(model: &Model, text: &str, what: &str) -> Result<EncodedPrompt> {
    if text.trim().is_empty() {
        return Err(miette!(help = "write in words what the picture is to show", "the {what} is empty"));
    }
    let lacking = || miette!("the checkpoint has no tokenizer, so it reads no {what}");
    let encoded = model.encode(text).or_report()?.ok_or_else(lacking)?;
    if let Some(cut) = &encoded.cut {
        let tokens = model.prompt_tokens();
        say(format!("the {what} '{text}' has more than the model's {tokens} tokens; left out: '{}'", cut.trim()));
    }
    if !encoded.unknown.is_empty() {
        let unknown = encoded.unknown.join("', '");
        say(format!("the tokenizer does not know these parts of the {what} '{text}': '{unknown}'"));
    }
    Ok(encoded)
}

/// The folder of the single pictures beside a page: pictures/ beside pictures.png.
pub fn folder_of_pictures(page: &Path) -> PathBuf {
    page.with_extension("")
}

/// Writes a page of all pictures with their prompts, and each picture into the folder of the page's name.
///
/// # Errors
/// A file cannot be written.
pub fn write(samples: &SampleSet, texts: &[String], page: &Path) -> Result<()> {
    let (pixels, shape) = (to_bytes(&samples.values), samples.shape);
    let folder = folder_of_pictures(page);
    fs::create_dir_all(&folder).map_err(|error| miette!("cannot make the folder {}: {error}", folder.display()))?;
    for (number, picture) in pixels.chunks_exact(shape.iter().product()).enumerate() {
        let text = &texts[number / samples.per_subject];
        grid(picture, shape, 1)?.write(&folder.join(file_name(number, text)))?;
    }
    let captions: Vec<&String> = samples.labels.iter().map(|label| &texts[*label as usize]).collect();
    captioned(&pixels, shape, &captions, PER_ROW)?.write(page)?;
    Ok(())
}

/// Such as `0003-a-red-heart.png`.
fn file_name(number: usize, text: &str) -> String {
    let words: Vec<&str> =
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(NAME_LETTERS).collect();
    format!("{number:04}-{}.png", name.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_prompts() {
        assert_eq!(file_name(3, "A red heart, 2 of them!"), "0003-A-red-heart-2-of-them.png");
        assert_eq!(file_name(0, "../.."), "0000-.png");
        assert!(file_name(1, &"long ".repeat(50)).len() < 80);
        assert_eq!(folder_of_pictures(Path::new("a/page.png")), Path::new("a/page"));
    }
}
