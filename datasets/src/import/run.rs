//! Runs a map over files, twice: first to see whether it fits and every event has an id of its own, then to make the events.
//!
//! The first reading looks at keys only, and at the first rows whole. Only ids that more than one row makes are looked into
//! further: rows of equal content are one event, others a collision.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use event::{Event, Instant, Stream, hash63};
use hashbrown::{HashMap, HashSet};

use super::bind::{Bound, Rule, bind};
use super::map::{Format, InputSpec};
use super::read::{ReadError, Reader};
use super::value::{Key, parts_as_text};
use super::{ImportError, Map, time};
use crate::chunk::{Chunk, Chunks};

/// What an import is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking whether the map fits, before anything is made.
    Check,
    /// Making events.
    Import,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Rows read in this phase.
    pub rows: u64,
    /// Rows there are; of CSV and NDJSON, lines.
    pub total: u64,
}

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Rows read.
    pub rows: u64,
    /// Rows that became events.
    pub accepted: u64,
    /// Rows that could not be mapped: they are dead letters.
    pub rejected: u64,
    /// Rows that no rule wanted, or whose events were there already.
    pub without_event: u64,
    /// Events made, per stream, dead letters not among them.
    pub events: BTreeMap<Stream, u64>,
    /// Events that an equal row had made before.
    pub repeated: u64,
    /// The first rejected rows: file, row from 1, and reason.
    pub reasons: Vec<(PathBuf, u64, String)>,
}

/// Rows of each file that are mapped whole before anything is made: if none of them fits, the map is wrong.
const TRIED_ROWS: u64 = 1000;

/// With fewer rows than this a file may well be all bad.
const TELLING_ROWS: u64 = 20;

/// How many reasons the summary keeps.
const REASONS: usize = 10;

/// Progress is told every so many rows.
const TELL_ROWS: u64 = 8192;

#[derive(Debug)]
struct InputFile {
    path: PathBuf,
    input: usize,
    format: Format,
    /// Hash of its content.
    hash: [u8; 32],
    rows: u64,
}

/// An event of a row, in the scratch buffer.
struct Made {
    rule: usize,
    id: i64,
    range: std::ops::Range<usize>,
    /// Of an event that only the first row of a key makes.
    once: Option<String>,
}

/// Keys of which the one event has been made, per rule.
type OnceKeys = Vec<HashSet<String>>;

/// An import that fits; iterate it for its chunks.
pub struct Import {
    map: Map,
    bound: Bound,
    files: Vec<InputFile>,
    /// Ids that more than one row makes.
    repeats: HashSet<i64>,
    /// Of those, the ones made already.
    made_repeats: HashSet<i64>,
    /// Per rule of the present input, keys of which the one event has been made.
    made_once: Vec<OnceKeys>,
    chunks: Chunks,
    scratch: Vec<u8>,
    source: String,
    at_file: usize,
    reader: Option<Reader>,
    row: u64,
    total: u64,
    summary: Summary,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").field("files", &self.files).field("summary", &self.summary).finish_non_exhaustive()
    }
}

impl Import {
    /// Finds the map's files among `inputs` (files or folders), and reads them once: every fault of the map, and two rows
    /// that make one event id and differ, are found here, before there is any event. `tell` hears of the progress.
    pub fn open(map: Map, inputs: &[PathBuf], tell: &mut dyn FnMut(Progress)) -> Result<Self, ImportError> {
        let bound = bind(&map)?;
        let mut files = find_files(&map, inputs)?;
        for file in &mut files {
            let read = |source: std::io::Error| ImportError::Read { path: file.path.clone(), source: source.into() };
            let (hash, lines) = hash_file(&file.path).map_err(read)?;
            file.hash = hash;
            // Opening finds missing columns in every file before the first is read through.
            let spec = &map.input[file.input];
            let wrong = |source| ImportError::Read { path: file.path.clone(), source };
            Reader::open(&file.path, file.format, spec, &bound.columns[file.input].0).map_err(wrong)?;
            file.rows = match file.format {
                Format::Csv => lines.saturating_sub(1),
                Format::Ndjson => lines,
                Format::Parquet => parquet_rows(&file.path).map_err(wrong)?,
            };
        }
        let source = serde_json::to_string(&map.source).expect("text is JSON");
        let total = files.iter().map(|f| f.rows).sum();
        let mut import = Import {
            map,
            bound,
            files,
            repeats: HashSet::new(),
            made_repeats: HashSet::new(),
            made_once: Vec::new(),
            chunks: Chunks::new(),
            scratch: Vec::new(),
            source,
            at_file: 0,
            reader: None,
            row: 0,
            total,
            summary: Summary::default(),
        };
        import.made_once = import.no_keys();
        import.check(tell)?;
        Ok(import)
    }

    /// How far the making of events is.
    pub fn progress(&self) -> Progress {
        Progress { phase: Phase::Import, rows: self.summary.rows, total: self.total.max(self.summary.rows) }
    }

    /// What has come of it so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    fn open_reader(&self, n: usize) -> Result<Reader, ImportError> {
        let file = &self.files[n];
        Reader::open(&file.path, file.format, &self.map.input[file.input], &self.bound.columns[file.input].0)
            .map_err(|source| ImportError::Read { path: file.path.clone(), source })
    }

    fn no_keys(&self) -> Vec<OnceKeys> {
        self.bound.rules.iter().map(|rules| rules.iter().map(|_| HashSet::new()).collect()).collect()
    }

    /// Reads every row of every file: the reader, the file's number and the row's.
    fn each_row(&self, mut each: impl FnMut(&Reader, usize, u64) -> Result<(), ImportError>) -> Result<(), ImportError> {
        for n in 0..self.files.len() {
            let mut reader = self.open_reader(n)?;
            let mut row = 0;
            let read = |source| ImportError::Read { path: self.files[n].path.clone(), source };
            while reader.advance().map_err(read)? {
                row += 1;
                each(&reader, n, row)?;
            }
        }
        Ok(())
    }

    /// The first reading: whether the first rows fit, which ids come again, whether any two rows collide.
    fn check(&mut self, tell: &mut dyn FnMut(Progress)) -> Result<(), ImportError> {
        let (mut ids, mut once_ids, mut suspects) = (HashSet::new(), HashSet::new(), HashSet::new());
        let (mut repeats, mut once_keys) = (HashSet::new(), self.no_keys());
        let mut scratch = Vec::new();
        let mut rows = 0u64;
        // Rows tried and rejected of the present file, and why the first was.
        let (mut tried, mut bad, mut why) = (0, 0, String::new());
        let nothing_fits = |n: usize, tried: u64, bad: u64, why: &str| match bad == tried && tried >= TELLING_ROWS {
            true => Err(ImportError::NothingFits { path: self.files[n].path.clone(), rows: tried, reason: why.to_owned() }),
            false => Ok(()),
        };
        let mut file = 0;
        self.each_row(|reader, n, row| {
            rows += 1;
            if rows.is_multiple_of(TELL_ROWS) {
                tell(Progress { phase: Phase::Check, rows, total: self.total.max(rows) });
            }
            if n != file {
                nothing_fits(file, tried, bad, &why)?;
                (file, tried, bad) = (n, 0, 0);
            }
            let input = self.files[n].input;
            let rules = &self.bound.rules[input];
            if row <= TRIED_ROWS {
                tried += 1;
                if let Err((_, reason)) = map_row(&self.map, &self.source, rules, reader, None, &mut scratch) {
                    if bad == 0 {
                        why = reason;
                    }
                    bad += 1;
                }
                if row == TRIED_ROWS {
                    nothing_fits(n, tried, bad, &why)?;
                }
            }
            for (r, rule) in rules.iter().enumerate() {
                // A row that cannot be mapped becomes a dead letter when its turn comes.
                let Ok(true) = rule.wants(reader) else { continue };
                let Ok(Some(key)) = Key::fill(&rule.key, reader) else { continue };
                if !rule.once {
                    let id = rule.id(&key);
                    if !ids.insert(id) {
                        suspects.insert(id);
                    }
                    continue;
                }
                let id = rule.id(&key);
                if once_keys[input][r].insert(key.into_text()) && !once_ids.insert(id) {
                    // Two rules bring what is made once: the first does.
                    repeats.insert(id);
                }
            }
            Ok(())
        })?;
        nothing_fits(file, tried, bad, &why)?;
        // What is made once may also be brought by a rule that makes it for every row.
        repeats.extend(once_ids.iter().filter(|id| ids.contains(*id)));
        suspects.retain(|id| !repeats.contains(id));
        drop(ids);
        if !suspects.is_empty() {
            self.compare(&suspects, &mut repeats)?;
        }
        self.repeats = repeats;
        // Lines are not quite rows; now it is known.
        self.total = rows;
        tell(Progress { phase: Phase::Check, rows, total: rows });
        Ok(())
    }

    /// Compares the rows that make the same ids: equal ones are repeats.
    fn compare(&self, suspects: &HashSet<i64>, repeats: &mut HashSet<i64>) -> Result<(), ImportError> {
        let mut contents: HashMap<i64, u64> = HashMap::new();
        let mut scratch = Vec::new();
        self.each_row(|reader, n, row| {
            let rules = &self.bound.rules[self.files[n].input];
            let suspect = |rule: &Rule| {
                let key = rule.wants(reader).unwrap_or(false).then(|| Key::fill(&rule.key, reader).ok().flatten()).flatten();
                key.is_some_and(|key| suspects.contains(&rule.id(&key)))
            };
            if !rules.iter().any(suspect) {
                return Ok(());
            }
            let Ok(made) = map_row(&self.map, &self.source, rules, reader, None, &mut scratch) else { return Ok(()) };
            for m in made.into_iter().filter(|m| suspects.contains(&m.id)) {
                let mut content = DefaultHasher::new();
                content.write(&scratch[m.range]);
                let content = content.finish();
                if contents.insert(m.id, content).is_some_and(|before| before != content) {
                    let key = parts_as_text(&rules[m.rule].key, reader);
                    let path = self.files[n].path.clone();
                    return Err(ImportError::Collision { path, row, stream: rules[m.rule].stream, key });
                }
            }
            Ok(())
        })?;
        repeats.extend(suspects);
        Ok(())
    }

    /// Makes the events of the next row; false at the end of all files.
    fn step(&mut self) -> Result<bool, ImportError> {
        let Some(file) = self.files.get(self.at_file) else { return Ok(false) };
        let input = file.input;
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.open_reader(self.at_file)?,
        };
        let more =
            reader.advance().map_err(|source| ImportError::Read { path: self.files[self.at_file].path.clone(), source })?;
        if !more {
            self.at_file += 1;
            self.row = 0;
            return Ok(true);
        }
        self.row += 1;
        self.summary.rows += 1;
        let rules = &self.bound.rules[input];
        let made = map_row(&self.map, &self.source, rules, &reader, Some(&self.made_once[input]), &mut self.scratch);
        match made {
            Ok(made) => {
                let mut any = false;
                for m in made {
                    let rule = &rules[m.rule];
                    if let Some(key) = m.once {
                        self.made_once[input][m.rule].insert(key);
                    }
                    if self.repeats.contains(&m.id) && !self.made_repeats.insert(m.id) {
                        self.summary.repeated += 1;
                        continue;
                    }
                    any = true;
                    *self.summary.events.entry(rule.stream).or_default() += 1;
                    let message = &self.scratch[m.range];
                    self.chunks.push(rule.stream, |out| out.extend_from_slice(message));
                }
                *(if any { &mut self.summary.accepted } else { &mut self.summary.without_event }) += 1;
            }
            Err((rule, reason)) => {
                self.summary.rejected += 1;
                let file = &self.files[self.at_file];
                if self.summary.reasons.len() < REASONS {
                    self.summary.reasons.push((file.path.clone(), self.row, reason.clone()));
                }
                // Equal in every import of this content, wherever the file lies: so it is a dead letter once.
                let id = hash63([&file.hash[..], &self.row.to_le_bytes()]);
                let message = serde_json::json!({
                    "source": self.map.source,
                    "event_id": id.to_string(),
                    "type": "unmapped",
                    "occurred_at": "2000-01-01T00:00:00Z",
                    "reason": format!("row {}: {reason}", self.row),
                    "raw": reader.raw(),
                });
                let stream = rules.get(rule).map_or(Stream::Orders, |rule| rule.stream);
                self.chunks.push(stream, |out| out.extend_from_slice(message.to_string().as_bytes()));
            }
        }
        self.reader = Some(reader);
        Ok(true)
    }
}

impl Iterator for Import {
    type Item = Result<Chunk, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(chunk) = self.chunks.pop() {
                return Some(Ok(chunk));
            }
            match self.step() {
                Ok(true) => {}
                Ok(false) => {
                    self.chunks.flush();
                    return self.chunks.pop().map(Ok);
                }
                Err(e) => {
                    // Nothing comes after a fault.
                    self.at_file = self.files.len();
                    return Some(Err(e));
                }
            }
        }
    }
}

/// The row's events, or the rule and the reason why it has none. What is made once and is among `made_once` is left out.
fn map_row(
    map: &Map,
    source: &str,
    rules: &[Rule],
    row: &Reader,
    made_once: Option<&OnceKeys>,
    scratch: &mut Vec<u8>,
) -> Result<Vec<Made>, (usize, String)> {
    scratch.clear();
    if let Some(fault) = row.fault() {
        return Err((0, fault.to_owned()));
    }
    let mut all = Vec::with_capacity(rules.len());
    for (n, rule) in rules.iter().enumerate() {
        let made = map_rule(map, source, rule, row, made_once.map(|keys| &keys[n]), scratch).map_err(|reason| (n, reason))?;
        if let Some((id, range, once)) = made {
            // What passes here is no dead letter later, unless it lies in the future.
            Event::decode(rule.stream, &scratch[range.clone()], Instant(i64::MAX)).map_err(|fault| (n, fault.to_string()))?;
            all.push(Made { rule: n, id, range, once });
        }
    }
    Ok(all)
}

/// One rule's event of a row, appended to `out`: its id, where it stands, and its key if it is made once. Nothing if the rule
/// does not want the row.
#[expect(clippy::type_complexity, reason = "the three parts of Made, before it is one")]
fn map_rule(
    map: &Map,
    source: &str,
    rule: &Rule,
    row: &Reader,
    made_once: Option<&HashSet<String>>,
    out: &mut Vec<u8>,
) -> Result<Option<(i64, std::ops::Range<usize>, Option<String>)>, String> {
    if !rule.wants(row)? {
        return Ok(None);
    }
    let mut key = Key::fill(&rule.key, row)?.ok_or("a part of the key is missing")?;
    let mut once = None;
    if rule.once {
        let text = key.into_text();
        if made_once.is_some_and(|keys| keys.contains(&text)) {
            return Ok(None);
        }
        once = Some(text);
        key = Key::fill(&rule.key, row)?.ok_or("a part of the key is missing")?;
    }
    let id = rule.id(&key);
    let zone = rule.zone(row)?;
    let at = time::told(rule.occurred_at(row, zone)?, zone);
    let start = out.len();
    let event_type = &rule.event_type;
    let written = write!(
        out,
        "{{\"source\":{source},\"event_id\":\"{id}\",\"type\":\"{event_type}\",\"occurred_at\":\"{at}\",\"schema_version\":1"
    );
    written.map_err(|e| e.to_string())?;
    if let Some(hour) = map.day_start_hour {
        out.extend_from_slice(format!(",\"day_start_hour\":{hour}").as_bytes());
    }
    for (key, name, value) in &rule.fields {
        let before = out.len();
        out.extend_from_slice(key.as_bytes());
        if !value.write(row, zone, out).map_err(|e| format!("{name}: {e}"))? {
            out.truncate(before);
        }
    }
    out.push(b'}');
    Ok(Some((id, start..out.len(), once)))
}

/// Hash and number of lines of a file.
fn hash_file(path: &Path) -> std::io::Result<([u8; 32], u64)> {
    let mut file = File::open(path)?;
    let (mut hasher, mut lines) = (blake3::Hasher::new(), 0u64);
    let mut buffer = vec![0; 1 << 18];
    let mut last = b'\n';
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            // The last line may lack its end.
            return Ok((*hasher.finalize().as_bytes(), lines + u64::from(last != b'\n')));
        }
        hasher.update(&buffer[..n]);
        lines += buffer[..n].iter().filter(|b| **b == b'\n').count() as u64;
        last = buffer[n - 1];
    }
}

fn parquet_rows(path: &Path) -> Result<u64, ReadError> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    Ok(SerializedFileReader::new(File::open(path)?)?.metadata().file_metadata().num_rows().max(0) as u64)
}

/// The files of each input, in the order of the map's inputs.
fn find_files(map: &Map, inputs: &[PathBuf]) -> Result<Vec<InputFile>, ImportError> {
    let mut candidates: Vec<(PathBuf, bool)> = Vec::new();
    for path in inputs {
        if path.is_dir() {
            let mut found = Vec::new();
            list(path, 4, &mut found).map_err(|source| ImportError::Read { path: path.clone(), source: source.into() })?;
            found.sort();
            candidates.extend(found.into_iter().map(|path| (path, false)));
        } else if path.is_file() {
            candidates.push((path.clone(), true));
        } else {
            return Err(ImportError::Inputs(format!("there is no file or folder {}", path.display())));
        }
    }
    let mut taken = vec![false; candidates.len()];
    let mut files = Vec::new();
    for (input, spec) in map.input.iter().enumerate() {
        let before = files.len();
        for (n, (path, named)) in candidates.iter().enumerate() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Without a pattern an input takes the files that were named, not whatever lies in a folder.
            if spec.file.as_deref().map_or(*named, |pattern| matches(pattern, &name)) {
                taken[n] = true;
                let format = format_of(spec, path)?;
                files.push(InputFile { path: path.clone(), input, format, hash: [0; 32], rows: 0 });
            }
        }
        if files.len() == before && !spec.optional {
            let wanted = spec.file.as_deref().unwrap_or("a file");
            return Err(ImportError::Inputs(format!("no input is {wanted}, which the map needs for `{}`", spec.name)));
        }
    }
    if let Some(n) = (0..candidates.len()).find(|n| candidates[*n].1 && !taken[*n]) {
        return Err(ImportError::Inputs(format!("the map has no use for {}", candidates[n].0.display())));
    }
    Ok(files)
}

/// Files below a folder, at most `depth` folders down.
fn list(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            found.push(path);
        } else if path.is_dir() && depth > 0 {
            list(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

/// Whether a file name fits a pattern; `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).any(|n| rest.is_char_boundary(n) && matches(tail, &rest[n..]))),
    }
}

fn format_of(spec: &InputSpec, path: &Path) -> Result<Format, ImportError> {
    if let Some(format) = spec.format {
        return Ok(format);
    }
    match path.extension().and_then(|e| e.to_str()) {
        Some("csv" | "tsv" | "txt") => Ok(Format::Csv),
        Some("ndjson" | "jsonl" | "json") => Ok(Format::Ndjson),
        Some("parquet") => Ok(Format::Parquet),
        _ => Err(ImportError::Inputs(format!(
            "the ending of {} tells no format: give `format` in the map's input `{}`",
            path.display(),
            spec.name
        ))),
    }
}
