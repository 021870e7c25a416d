//! The rules about rooms, files and type names.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Module, Source};
use super::table;

/// Where a room stands.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    /// The highest is 0.
    pub row: usize,
    /// Rooms of the base may use each other.
    pub is_base: bool,
}

/// The table of layers, by room.
pub fn layers(architecture: &str) -> BTreeMap<String, Layer> {
    let rows = table(architecture, "Layers");
    let rooms = rows.iter().enumerate().flat_map(|(index, row)| {
        let layer = Layer {
            row: index,
            is_base: row[1].starts_with("the base:"),
        };
        let names = row[0].split('`').skip(1).step_by(2);
        names.map(move |name| (name.to_owned(), layer))
    });
    rooms.collect()
}

/// The crate, by module.
pub struct Tree {
    pub sources: BTreeMap<Module, Source>,
}

impl Tree {
    pub fn new(sources: Vec<Source>) -> Self {
        let keyed = sources.into_iter().map(|source| (source.module.clone(), source));
        Self {
            sources: keyed.collect(),
        }
    }

    /// The file in which the thing of this path is defined, where that is in the crate.
    fn target(&self, from: &Module, path: &[String]) -> Option<Module> {
        self.follow(from, path, 0)
    }

    fn follow(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        // An import may name itself (`use restore::{self}` below a module of that name).
        if depth > 8 {
            return None;
        }
        let child = |parent: &Module, name: &String| {
            let module: Module = parent.iter().chain([name]).cloned().collect();
            self.sources.contains_key(&module).then_some(module)
        };
        let (mut module, mut at) = (from.clone(), 0);
        match path.first()?.as_str() {
            "crate" => (module, at) = (Vec::new(), 1),
            "self" => at = 1,
            "super" => {
                while path.get(at).is_some_and(|word| word == "super") {
                    module.pop();
                    at += 1;
                }
            }
            first => {
                if child(from, &path[0]).is_none() {
                    let import = self.sources.get(from)?.imports.get(first)?;
                    let whole: Module = import.iter().chain(&path[1..]).cloned().collect();
                    return (import[0] != *first || import.len() > 1)
                        .then(|| self.follow(from, &whole, depth + 1))
                        .flatten();
                }
            }
        }
        while let Some(name) = path.get(at) {
            if let Some(below) = child(&module, name) {
                module = below;
            } else {
                let source = self.sources.get(&module)?;
                if source.exports.contains(name) && module != *from {
                    let export = &source.imports[name];
                    let whole: Module = export.iter().chain(&path[at + 1..]).cloned().collect();
                    return self.follow(&module, &whole, depth + 1);
                }
                break;
            }
            at += 1;
        }
        (!module.is_empty()).then_some(module)
    }

    /// Which file uses which, with the first line of it.
    fn arrows(&self) -> BTreeMap<(&Module, Module), usize> {
        let mut arrows = BTreeMap::new();
        for (from, source) in self.sources.iter().filter(|(from, _)| !from.is_empty()) {
            for (path, line) in &source.paths {
                if let Some(to) = self.target(from, path).filter(|to| to != from) {
                    arrows.entry((from, to)).or_insert(*line);
                }
            }
        }
        arrows
    }

    /// Arrows between rooms that the table of layers does not allow.
    pub fn arrows_up(&self, layers: &BTreeMap<String, Layer>) -> Vec<String> {
        let mut found = Vec::new();
        let rooms: BTreeSet<&String> = self.sources.keys().filter_map(|module| module.first()).collect();
        for room in rooms.into_iter().filter(|room| !layers.contains_key(*room)) {
            found.push(format!(
                "xtask/src/{room}.rs:1: `{room}` is not in the table of layers"
            ));
        }
        for ((from, to), line) in self.arrows() {
            let (Some(upper), Some(lower)) = (layers.get(&from[0]), layers.get(&to[0])) else {
                continue;
            };
            let is_lower = upper.row < lower.row || (upper.row == lower.row && upper.is_base);
            if from[0] != to[0] && !is_lower {
                let file = &self.sources[from].file;
                found.push(format!(
                    "{file}:{line}: `{}` must not use `{}`",
                    from[0],
                    to.join("::")
                ));
            }
        }
        found
    }

    /// Files that use each other in a circle. A module may use what the modules above it define: they hold what their
    /// parts share.
    pub fn circles(&self) -> Vec<String> {
        let arrows = self.arrows();
        let mut uses: BTreeMap<&Module, Vec<(&Module, usize)>> = BTreeMap::new();
        for ((from, to), line) in arrows.iter().filter(|((from, to), _)| !from.starts_with(to)) {
            uses.entry(from).or_default().push((to, *line));
        }
        let reachable = |start: &Module| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(module) = open.pop() {
                for (to, _) in uses.get(module).into_iter().flatten() {
                    if seen.insert((*to).clone()) {
                        open.push(to);
                    }
                }
            }
            seen
        };
        let reach: BTreeMap<&Module, BTreeSet<Module>> =
            uses.keys().map(|module| (*module, reachable(module))).collect();
        let mut found = Vec::new();
        for (from, to) in uses
            .iter()
            .flat_map(|(from, to)| to.iter().map(move |to| (*from, to)))
        {
            if reach.get(to.0).is_some_and(|back| back.contains(from)) {
                let file = &self.sources[from].file;
                found.push(format!(
                    "{file}:{}: `{}` is in a circle with this file",
                    to.1,
                    to.0.join("::")
                ));
            }
        }
        found
    }

    /// Public types of one name. The arguments of each command are called `Args`.
    pub fn double_names(&self) -> Vec<String> {
        let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for source in self.sources.values() {
            for (name, line) in &source.types {
                if name != "Args" || source.module[0] != "commands" {
                    places
                        .entry(name)
                        .or_default()
                        .push(format!("{}:{line}", source.file));
                }
            }
        }
        let double = places.iter().filter(|(_, places)| places.len() > 1);
        double
            .flat_map(|(name, places)| {
                let all = places.join(", ");
                places.iter().map(move |place| {
                    format!(
                        "{place}: the public type name `{name}` is used {} times: {all}",
                        places.len()
                    )
                })
            })
            .collect()
    }
}
