//! References and the messages of what they point to, read so that one that is no tag, no text or enormous costs only itself:
//! anybody who may push can make such a reference, and rules of the remote may forbid to delete it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};

use anyhow::{Context as _, Result};

use super::Git;

/// A longer message is no record of ours, and is not read.
const MESSAGE_LIMIT_BYTES: u64 = 8 << 20;
/// A line of git's lists: names have at most some thousand bytes.
const LINE_LIMIT_BYTES: u64 = 64 << 10;

/// A message, or in a few words why it cannot be read.
pub(super) type MessageText = Result<String, String>;

/// A reference with what it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// The last part of its name.
    pub name: String,
    /// `commit`, `tag`, `tree` or `blob`.
    pub kind: String,
    pub object: String,
    /// What a tag marks; empty for everything else.
    pub marked_kind: String,
    pub marked: String,
    pub tagged_at: String,
    size_bytes: u64,
}

impl Git {
    /// The references of this clone that match, sorted by name.
    pub(super) fn references(&self, pattern: &str) -> Result<Vec<Reference>> {
        // No name of a reference has a blank.
        let format = "--format=%(objecttype) %(objectname) %(objectsize) %(*objecttype) %(*objectname) \
                      %(taggerdate:iso-strict) %(refname:lstrip=-1)";
        let (listed, finished) = self
            .local(&["for-each-ref", "--sort=refname", format, pattern])?
            .stream_out(|stdout| read_references(BufReader::new(stdout)))?;
        finished.checked()?;
        listed
    }

    /// The messages of these references by the id of their object: of commits and tags, as others have none.
    pub(super) fn texts(&self, references: &[Reference]) -> Result<BTreeMap<String, MessageText>> {
        let has_message = |one: &&Reference| one.kind == "commit" || one.kind == "tag";
        let (asked, enormous): (Vec<&Reference>, Vec<&Reference>) = references
            .iter()
            .filter(has_message)
            .partition(|one| one.size_bytes <= MESSAGE_LIMIT_BYTES);
        let too_long = |one: &Reference| Err(format!("its message has {} bytes", one.size_bytes));
        let mut texts: BTreeMap<String, MessageText> = enormous
            .into_iter()
            .map(|one| (one.object.clone(), too_long(one)))
            .collect();
        if asked.is_empty() {
            return Ok(texts);
        }
        let ids: String = asked.iter().map(|one| format!("{}\n", one.object)).collect();
        let (read, finished) = self
            .local(&["cat-file", "--batch"])?
            .stdin(ids)
            .stream_out(|stdout| read_objects(BufReader::new(stdout)))?;
        finished.checked()?;
        texts.extend(read?);
        Ok(texts)
    }
}

fn read_references(mut list: impl BufRead) -> Result<Vec<Reference>> {
    let mut references = Vec::new();
    while let Some(line) = next_line(&mut list)? {
        let fields: Vec<&str> = line.split(' ').collect();
        let [kind, object, size_bytes, marked_kind, marked, tagged_at, name] = fields[..] else {
            anyhow::bail!("git listed a reference in a form that is not known: {line:?}");
        };
        references.push(Reference {
            name: name.to_owned(),
            kind: kind.to_owned(),
            object: object.to_owned(),
            marked_kind: marked_kind.to_owned(),
            marked: marked.to_owned(),
            tagged_at: tagged_at.to_owned(),
            size_bytes: size_bytes
                .parse()
                .context("git listed a size that is no number")?,
        });
    }
    Ok(references)
}

/// What `git cat-file --batch` prints: a line with id, kind and size, then the object, then a newline.
fn read_objects(mut stream: impl BufRead) -> Result<BTreeMap<String, MessageText>> {
    let mut texts = BTreeMap::new();
    while let Some(line) = next_line(&mut stream)? {
        let mut fields = line.split(' ');
        let id = fields.next().unwrap_or_default().to_owned();
        let Some(size_bytes) = fields.nth(1).and_then(|size| size.parse::<usize>().ok()) else {
            texts.insert(id, Err(format!("it cannot be read: {line}")));
            continue;
        };
        let mut object = vec![0; size_bytes + 1];
        stream
            .read_exact(&mut object)
            .context("git cut an object short")?;
        object.pop();
        texts.insert(id, message_of(&object));
    }
    Ok(texts)
}

/// The message stands after the first empty line.
fn message_of(object: &[u8]) -> MessageText {
    let end_of_head = object.windows(2).position(|two| two == b"\n\n");
    let message = end_of_head.map_or(&[][..], |at| &object[at + 2..]);
    String::from_utf8(message.to_vec()).map_err(|_| "its message is not UTF-8".to_owned())
}

fn next_line(list: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    list.take(LINE_LIMIT_BYTES)
        .read_until(b'\n', &mut line)
        .context("cannot read a list of git")?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok((!line.is_empty()).then(|| String::from_utf8_lossy(line).into_owned()))
}
