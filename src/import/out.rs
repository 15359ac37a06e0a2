//! From drafts to the facts of a store, and what the report says of them.

use super::draft::{Draft, Verdict, id};
use super::field::text;
use super::format::Format;
use super::options::ImportOptions;
use super::redact::{Redactor, pseudonym};
use super::report::{ImportReport, Summary};
use super::source::Place;
use crate::error::{Error, Result};
use crate::event::{EventId, Fact, Feedback, FeedbackId, GenerationEvent, Known, Record, UserAction, UserId};
use crate::store::{Appended, EventStore};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::task::Poll;

/// Facts written at a time.
const BATCH: usize = 4096;

/// Collects what readers find.
pub(super) struct Out {
    pub(super) options: ImportOptions,
    pub(super) now: DateTime<Utc>,
    pub(super) report: ImportReport,
    redactor: Option<Redactor>,
    constants: Vec<(String, Value)>,
    records: Vec<Record>,
    /// Digests of the events of this import.
    seen: HashSet<u64>,
    /// Generations by what verdicts may name instead.
    groups: HashMap<u64, Vec<EventId>>,
    late: Vec<Late>,
}

/// A verdict on an event, or on all of a group.
struct Late {
    target: String,
    on: On,
    verdict: Verdict,
}

/// Subject of a verdict.
#[derive(Clone, Copy, PartialEq)]
enum On {
    Event,
    Group,
    /// The event of this name, or else the group.
    Either,
}

impl Out {
    pub(super) fn new(format: Format, options: &ImportOptions) -> Result<Self> {
        let constant = |(field, from): (&String, &String)| {
            let word = from.strip_prefix('=')?;
            Some((field.clone(), super::mapped::typed(field, &word.into())))
        };
        let mut report = ImportReport::default();
        report.format = format.to_string();
        Ok(Self {
            now: options.now.unwrap_or_else(Utc::now),
            report,
            redactor: options.redact.then(Redactor::new).transpose()?,
            constants: options.mapping.iter().filter_map(constant).collect(),
            records: Vec::new(),
            seen: HashSet::new(),
            groups: HashMap::new(),
            late: Vec::new(),
            options: options.clone(),
        })
    }

    /// Adds an event; one that cannot be recorded is skipped with the reason.
    pub(super) fn add(&mut self, mut draft: Draft, place: &Place<'_>) {
        for (field, value) in &self.constants {
            draft.fields.entry(field.clone()).or_insert_with(|| value.clone());
        }
        if let Some(redactor) = &self.redactor {
            redactor.event(&mut draft.fields);
        }
        let fields = draft.fields;
        let event = GenerationEvent::from_fields(&fields);
        if let Err(error) = event.and_then(|event| self.add_event(event, &fields, &draft.groups, place)) {
            self.skip(place, &error);
        }
    }

    /// Adds an event as it is.
    ///
    /// # Errors
    /// `InvalidInput` when it cannot be recorded.
    pub(super) fn add_event(
        &mut self,
        event: GenerationEvent,
        fields: &serde_json::Map<String, Value>,
        groups: &[String],
        place: &Place<'_>,
    ) -> Result<()> {
        let (event_id, summary) = (event.event_id.clone(), Summary::of(&event, self.now));
        let records = event.into_records()?;
        let first = self.seen.insert(hash(event_id.as_str()));
        if first {
            self.report.describe(&event_id, summary, fields);
        } else {
            self.report.repeated.note(|| format!("{place}: {event_id}"));
        }
        for group in groups.iter().filter(|_| first) {
            self.groups.entry(hash(group)).or_default().push(event_id.clone());
        }
        self.records.extend(records);
        Ok(())
    }

    /// Adds a verdict on an event that may stand anywhere in the files, or is in the store.
    pub(super) fn judge(&mut self, event_id: &str, verdict: Verdict) {
        self.late.push(Late { target: id(event_id), on: On::Event, verdict });
    }

    /// Adds a verdict on all events of a group.
    pub(super) fn judge_group(&mut self, group: &str, verdict: Verdict) {
        self.late.push(Late { target: group.to_owned(), on: On::Group, verdict });
    }

    /// Adds a verdict on an event, or on all of the group of this name.
    pub(super) fn judge_either(&mut self, target: &str, verdict: &Verdict) {
        self.late.push(Late { target: id(target), on: On::Either, verdict: verdict.clone() });
    }

    pub(super) fn skip(&mut self, place: &Place<'_>, error: &Error) {
        self.report.skip(place, &format!("{error:#}"));
    }

    /// Returns whether nothing was found yet.
    pub(super) fn is_idle(&self) -> bool {
        self.seen.is_empty() && self.late.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= BATCH
    }

    /// Makes facts of the verdicts whose generations are known by now.
    ///
    /// # Errors
    /// Those of [`EventStore::get`].
    pub(super) async fn resolve(&mut self, store: &dyn EventStore) -> Result<()> {
        let mut verdicts = Vec::new();
        for late in std::mem::take(&mut self.late) {
            let of_group = self.groups.get(&hash(&late.target)).cloned().unwrap_or_default();
            let targets: Vec<EventId> = match late.on {
                On::Event => EventId::new(&late.target).into_iter().collect(),
                On::Either if of_group.is_empty() => EventId::new(&late.target).into_iter().collect(),
                On::Group | On::Either => of_group,
            };
            if targets.is_empty() {
                self.unmatched(&late.target, &late.verdict);
            }
            verdicts.extend(targets.into_iter().map(|target| (target, late.verdict.clone())));
        }
        verdicts.sort_by(|a, b| a.0.cmp(&b.0));
        let by_event: Vec<_> = verdicts.chunk_by(|a, b| a.0 == b.0).collect();
        for some in by_event.chunks(BATCH) {
            let ids: Vec<EventId> = some.iter().map(|of| of[0].0.clone()).collect();
            for (of, event) in some.iter().zip(store.get(&ids).await?) {
                let Some(event) = event else {
                    of.iter().for_each(|(target, verdict)| self.unmatched(target.as_str(), verdict));
                    continue;
                };
                self.judge_stored(event, of)?;
            }
        }
        Ok(())
    }

    fn unmatched(&mut self, target: &str, verdict: &Verdict) {
        self.report.unmatched_verdicts.note(|| format!("{} on {target}", verdict.action));
    }

    /// Adds the verdicts on one event, and tells the report what it is now.
    fn judge_stored(&mut self, mut event: GenerationEvent, of: &[(EventId, Verdict)]) -> Result<()> {
        let records =
            of.iter().map(|(_, verdict)| self.record_of(&event, verdict)).collect::<Result<Vec<_>>>()?;
        if self.is_own(&event.event_id) {
            let part = |record: &Record| record.key().part;
            let own: Vec<String> = records.iter().map(part).collect();
            let is_own = |feedback: &Known<Feedback>| {
                feedback.value.feedback_id.as_ref().is_some_and(|id| own.iter().any(|own| own == id.as_str()))
            };
            event.feedback.retain(|feedback| !is_own(feedback));
            let before = Summary::of(&event, self.now);
            event.feedback.extend(records.iter().filter_map(|record| match record.fact() {
                Fact::Feedback(value) => {
                    Some(Known { known_at: record.known_at(), value: (**value).clone() })
                }
                _ => None,
            }));
            self.report.judge(&before, &Summary::of(&event, self.now));
        }
        self.records.extend(records);
        Ok(())
    }

    /// Returns whether an event is of this import.
    fn is_own(&self, event_id: &EventId) -> bool {
        self.seen.contains(&hash(event_id.as_str()))
    }

    fn record_of(&self, event: &GenerationEvent, verdict: &Verdict) -> Result<Record> {
        let mut feedback = Feedback::new(match verdict.action {
            "approve" => UserAction::Approve,
            "modify" => UserAction::Modify,
            _ => UserAction::Reject,
        });
        feedback.feedback_id = Some(FeedbackId::new(id(&verdict.id))?);
        feedback.success = verdict.success;
        let reviewer = verdict.reviewer.as_deref().map(|name| match &self.redactor {
            Some(_) => pseudonym(name),
            None => id(name),
        });
        feedback.reviewer_id = reviewer.map(UserId::new).transpose()?;
        let ended = event.completion.as_ref().map_or(event.started.known_at, |end| end.known_at);
        let known_at = verdict.known_at.unwrap_or(ended);
        Record::new(event.event_id.clone(), known_at, Fact::Feedback(Box::new(feedback)))
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<Appended>>> + Send + 'a>>;

/// Writes one batch while the next is read.
pub(super) struct Writing<'a> {
    store: &'a dyn EventStore,
    pending: Option<(Answer<'a>, Vec<(EventId, Kind)>)>,
    /// Event of the last records of a batch; its others may stand in the next.
    current: Option<(EventId, [bool; 2])>,
    /// Set for the verdicts that came after the events.
    pub(super) late: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Start,
    End,
    Feedback,
}

impl<'a> Writing<'a> {
    pub(super) fn new(store: &'a dyn EventStore) -> Self {
        Self { store, pending: None, current: None, late: false }
    }

    /// Begins to write what was collected, after what was begun before is written.
    ///
    /// # Errors
    /// Those of [`EventStore::append`].
    pub(super) async fn write(&mut self, out: &mut Out) -> Result<()> {
        let records = std::mem::take(&mut out.records);
        let kind = |record: &Record| match record.fact() {
            Fact::Started(_) => Kind::Start,
            Fact::Completed(_) => Kind::End,
            Fact::Feedback(_) => Kind::Feedback,
        };
        let of = records.iter().map(|record| (record.event_id().clone(), kind(record))).collect();
        self.settle(out).await?;
        let store = self.store;
        let mut answer: Answer<'a> = store.append(records);
        // Asked once, it writes while the next values are read.
        let at_once = std::future::poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        match at_once {
            Poll::Ready(told) => self.count(out, of, told?),
            Poll::Pending => self.pending = Some((answer, of)),
        }
        Ok(())
    }

    /// Waits for all that was begun.
    ///
    /// # Errors
    /// Those of [`EventStore::append`].
    pub(super) async fn finish(&mut self, out: &mut Out) -> Result<()> {
        self.settle(out).await?;
        self.end_event(out);
        Ok(())
    }

    async fn settle(&mut self, out: &mut Out) -> Result<()> {
        if let Some((answer, of)) = self.pending.take() {
            let told = answer.await?;
            self.count(out, of, told);
        }
        Ok(())
    }

    fn count(&mut self, out: &mut Out, of: Vec<(EventId, Kind)>, told: Vec<Appended>) {
        for ((event_id, kind), told) in of.into_iter().zip(told) {
            if kind == Kind::Start || self.current.as_ref().is_none_or(|(current, _)| *current != event_id) {
                self.end_event(out);
                self.current = Some((event_id.clone(), [false, false]));
            }
            if let Some((_, [started, more])) = &mut self.current
                && told == Appended::New
            {
                *(if kind == Kind::Start { started } else { more }) = true;
            }
            if matches!(told, Appended::Conflict | Appended::Erased) {
                let what = match kind {
                    Kind::Start => "its start",
                    Kind::End => "its end",
                    Kind::Feedback => "a feedback on it",
                };
                let why = if told == Appended::Erased { "was erased" } else { "is another one in the store" };
                out.report.conflicts.note(|| format!("{event_id}: {what} {why}"));
            }
        }
    }

    fn end_event(&mut self, out: &mut Out) {
        match self.current.take() {
            Some((_, [true, _])) => out.report.imported += 1,
            // A verdict on an event of this import came after it.
            Some((event_id, _)) if self.late && out.is_own(&event_id) => {}
            Some((_, [false, true])) => out.report.updated += 1,
            Some((_, [false, false])) => out.report.unchanged += 1,
            None => {}
        }
    }
}

/// Returns the name of a file's folder and its own without the extension: a run.
pub(super) fn run_of(file: &str) -> String {
    let path = std::path::Path::new(file);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default().to_owned();
    let folder =
        path.parent().and_then(|folder| folder.file_name()).map(|name| name.to_string_lossy().into_owned());
    folder.map_or_else(|| stem.clone(), |folder| format!("{folder}/{stem}"))
}

/// Returns the value of the first tag with this prefix (`task:7`).
pub(super) fn tag(tags: &Value, prefix: &str) -> Option<String> {
    let tags = tags.as_array()?;
    let found =
        tags.iter().filter_map(Value::as_str).find_map(|tag| tag.strip_prefix(prefix)?.strip_prefix(':'));
    found.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

/// Returns the text at the path, or the reason for which there is no event.
///
/// # Errors
/// `InvalidInput` naming the field that is missing.
pub(super) fn required(value: &Value, paths: &[&str]) -> Result<String> {
    text(value, paths).ok_or_else(|| Error::invalid(format!("{} is missing", paths[0])))
}
