//! Words, texts and marks of JavaScript and TypeScript, as far as calls can be told from them.

/// One of them. Comments are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or a keyword; names with escapes are refused.
    Word(String),
    /// A string, without its quotes.
    Text(String),
    /// The beginning of a template. Its pieces follow as texts, and what stands in `${…}` as tokens of its own.
    Template,
    Regex(String),
    Punctuation(&'static str),
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn punctuation(&self) -> Option<&str> {
        match self {
            Self::Punctuation(mark) => Some(mark),
            _ => None,
        }
    }

    pub(super) fn is(&self, mark: &str) -> bool {
        self.punctuation() == Some(mark)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    /// Whether a bracket behind it takes a member, and begins no list.
    pub(super) fn is_object(&self) -> bool {
        let declares = matches!(self.word(), Some("const" | "let" | "var"));
        self.ends_value() && !declares && !self.is("}")
    }

    /// What may stand between the name of a function and its parameters.
    pub(super) fn stands_before_parameters(&self) -> bool {
        self.is(":") || self.is("=") || self.is_word("async") || self.is_word("function")
    }

    /// After a value a slash divides; after anything else it begins a regular expression.
    fn ends_value(&self) -> bool {
        match self {
            Self::Word(word) => !matches!(
                word.as_str(),
                "return"
                    | "typeof"
                    | "case"
                    | "in"
                    | "of"
                    | "await"
                    | "yield"
                    | "throw"
                    | "new"
                    | "delete"
                    | "void"
                    | "else"
                    | "do"
            ),
            Self::Text(_) | Self::Template | Self::Regex(_) => true,
            Self::Punctuation(mark) => matches!(*mark, ")" | "]" | "}"),
        }
    }
}

/// Marks that are told apart.
const MARKS: [&str; 17] = [
    "?.", "?", "=>", "(", ")", "[", "]", "{", "}", ":", "=", ",", ".", "*", "<", ">", ";",
];
/// Every other one.
const OPERATOR: &str = "+";

/// Reads a whole text, or gives in a few words why it cannot be read.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        found: Vec::new(),
        templates: Vec::new(),
    };
    if lexer.rest.starts_with("#!") {
        lexer.skip_line();
    }
    while let Some(first) = lexer.rest.chars().next() {
        lexer.step(first)?;
    }
    lexer.require_balance()?;
    Ok(lexer.found)
}

struct Lexer<'a> {
    rest: &'a str,
    found: Vec<Token>,
    /// For each template whose `${` is open: how many braces are open in it.
    templates: Vec<usize>,
}

impl Lexer<'_> {
    fn step(&mut self, first: char) -> Result<(), String> {
        if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else if self.rest.starts_with("//") {
            self.skip_line();
        } else if let Some(comment) = self.rest.strip_prefix("/*") {
            let end = comment.find("*/").ok_or("a comment does not end")?;
            self.skip(end + 4);
        } else if first == '"' || first == '\'' {
            self.text(first)?;
        } else if first == '`' {
            self.found.push(Token::Template);
            self.skip(1);
            self.template()?;
        } else if is_name(first) {
            self.word();
        } else if first == '\\' {
            return Err("a name has an escape".into());
        } else if first == '/' && !self.found.last().is_some_and(Token::ends_value) {
            self.regex()?;
        } else {
            self.mark(first)?;
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or("");
    }

    fn skip_line(&mut self) {
        let end = self
            .rest
            .find(['\n', '\r', '\u{2028}', '\u{2029}'])
            .unwrap_or(self.rest.len());
        self.skip(end);
    }

    fn word(&mut self) {
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        self.found.push(Token::Word(self.rest[..end].to_owned()));
        self.skip(end);
    }

    fn text(&mut self, quote: char) -> Result<(), String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.found.push(Token::Text(text));
                    self.skip(at + 1);
                    return Ok(());
                }
                '\\' => match chars.next() {
                    Some((_, 'u' | 'x' | '0'..='7')) => return Err("a text has an escape".into()),
                    Some((_, escaped)) => text.push(escaped),
                    None => break,
                },
                '\n' => break,
                _ => text.push(c),
            }
        }
        Err("a text does not end".into())
    }

    /// From behind the opening quote, or behind a `}` that closes a `${`.
    fn template(&mut self) -> Result<(), String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '`' => {
                    self.found.push(Token::Text(text));
                    self.skip(at + 1);
                    return Ok(());
                }
                '$' if chars.peek().is_some_and(|(_, next)| *next == '{') => {
                    self.found.push(Token::Text(text));
                    self.templates.push(0);
                    self.skip(at + 2);
                    return Ok(());
                }
                '\\' => match chars.next() {
                    Some((_, 'u' | 'x' | '0'..='7')) => return Err("a text has an escape".into()),
                    Some((_, escaped)) => text.push(escaped),
                    None => break,
                },
                _ => text.push(c),
            }
        }
        Err("a template does not end".into())
    }

    fn regex(&mut self) -> Result<(), String> {
        let mut in_class = false;
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => drop(chars.next()),
                '\n' => break,
                '[' => in_class = true,
                ']' => in_class = false,
                '/' if !in_class => {
                    self.found.push(Token::Regex(self.rest[1..at].to_owned()));
                    self.skip(at + 1);
                    let flags = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
                    self.skip(flags);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err("a regular expression does not end".into())
    }

    fn mark(&mut self, first: char) -> Result<(), String> {
        match (first, self.templates.last_mut()) {
            ('{', Some(open)) => *open += 1,
            ('}', Some(0)) => {
                self.templates.pop();
                self.skip(1);
                return self.template();
            }
            ('}', Some(open)) => *open -= 1,
            _ => {}
        }
        // `a ?.5 : b` is no optional call.
        let is_optional =
            |mark: &&str| *mark != "?." || !self.rest[2..].starts_with(|c: char| c.is_ascii_digit());
        let mark = MARKS
            .into_iter()
            .find(|mark| self.rest.starts_with(mark) && is_optional(mark));
        self.found.push(Token::Punctuation(mark.unwrap_or(OPERATOR)));
        self.skip(mark.map_or(first.len_utf8(), str::len));
        Ok(())
    }

    fn require_balance(&self) -> Result<(), String> {
        let mut open = Vec::new();
        for mark in self.found.iter().filter_map(Token::punctuation) {
            let opens = match mark {
                "(" | "[" | "{" => {
                    open.push(mark);
                    continue;
                }
                ")" => "(",
                "]" => "[",
                "}" => "{",
                _ => continue,
            };
            if open.pop() != Some(opens) {
                return Err("its brackets do not match".into());
            }
        }
        if open.is_empty() && self.templates.is_empty() {
            Ok(())
        } else {
            Err("its brackets do not match".into())
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c == '#'
}
