//! Every command of ours in the documents is one that the program takes.

use clap::Parser as _;
use dev::cli::Cli;

use super::{files, read, root};

/// Words in capitals stand for something: what is put in their place has the right form.
const STANDINS: &[(&str, &str)] = &[
    ("OPERATION", "20260102-030405-ab12"),
    // What a message fills in; it is an operation where its form matters.
    ("…", "20260102-030405-ab12"),
    ("WHEN", "90d"),
    ("SECONDS", "10"),
    ("SHELL", "bash"),
    ("GROUP", "api"),
];

/// Commands in blocks of code and between backticks.
pub fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let pieces: Vec<&str> = if in_block {
            vec![line]
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        for piece in pieces {
            // A message that fills in the command itself says nothing that could be wrong.
            let named = piece.find("cargo xtask ");
            if let Some(at) = named.filter(|at| !piece[*at..].starts_with("cargo xtask …")) {
                found.push(piece[at..].to_owned());
            }
        }
    }
    found
}

/// The command's words: no comment (two spaces begin one, too), no redirection, `'quoted text'` as one, `[optional]` parts as if given.
fn words(command: &str) -> Vec<String> {
    let end = ["  ", " #", " >", " <", " |", " &&", "; "]
        .iter()
        .filter_map(|mark| command.find(mark))
        .min();
    let command = command[..end.unwrap_or(command.len())].replace(['[', ']'], "");
    let mut words = Vec::new();
    for (part, text) in command.split(['\'', '"']).enumerate() {
        if part % 2 == 1 {
            words.push(text.to_owned());
        } else {
            words.extend(text.split_whitespace().map(str::to_owned));
        }
    }
    let standin = |word: String| {
        let known = STANDINS.iter().find(|(name, _)| *name == word);
        known.map_or(word, |(_, value)| (*value).to_owned())
    };
    words.into_iter().map(standin).collect()
}

/// A command by its name alone, in a sentence about it.
fn is_a_name(words: &[String], error: &clap::Error) -> bool {
    use clap::error::ErrorKind;
    let lacks = [
        ErrorKind::MissingRequiredArgument,
        ErrorKind::MissingSubcommand,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
    ];
    words.len() == 3 && lacks.contains(&error.kind())
}

/// Why the program does not take a command.
pub fn refusal(command: &str) -> Option<clap::Error> {
    // `cargo xtask` is one word of clap's.
    let words = words(command);
    let arguments = std::iter::once("cargo xtask").chain(words[2..].iter().map(String::as_str));
    let error = Cli::try_parse_from(arguments).err()?;
    (error.use_stderr() && !is_a_name(&words, &error)).then_some(error)
}

#[test]
fn every_command_in_the_documents_is_taken() {
    let mut documents = files(&root().join("docs"), "md");
    documents.extend([root().join("README.md"), root().join("CONTRIBUTING.md")]);
    let mut wrong = Vec::new();
    let mut count = 0;
    for document in documents {
        for command in commands(&read(&document)) {
            count += 1;
            if let Some(error) = refusal(&command) {
                let name = document.file_name().unwrap().to_string_lossy().into_owned();
                wrong.push(format!("{name}: {command}\n{error}"));
            }
        }
    }
    assert!(count > 40, "only {count} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_walk_finds_commands_and_a_wrong_one_is_told() {
    let text = "see `cargo xtask deploy --plan` and\n```\ncargo xtask rollback TAG --reason 'two words' > f # why\n```\n";
    let found = commands(text);
    assert_eq!(found.len(), 2);
    assert_eq!(
        words(&found[1]),
        ["cargo", "xtask", "rollback", "TAG", "--reason", "two words"]
    );
    assert!(Cli::try_parse_from(["cargo xtask", "deploy", "--plam"]).is_err());
}
