//! A target: the query or documents that a client listens to, and the state that it was sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use tonic::Status;

use crate::model::path::{Database, DocumentName, Parent};
use crate::model::query::Query;
use crate::model::time::{Micros, update_time};
use crate::proto::{
    Document, DocumentChange, DocumentDelete, DocumentRemove, Target, listen_response, target,
};
use crate::service::Service;

#[derive(Debug)]
pub struct WatchedTarget {
    pub id: i32,
    pub subject: Subject,
    /// The documents that the client has, with their update times.
    sent: BTreeMap<String, Micros>,
    /// Whether the client has been sent a first state.
    initialized: bool,
    /// The time of the state that the client had from an earlier stream, if it is billed only for
    /// the changes since.
    pub up_to_date: Option<Micros>,
}

/// How messages are billed.
#[derive(Clone, Copy, Debug)]
pub enum Charge {
    /// As a new query.
    New,
    /// What changed after a time.
    Since(Micros),
    Changes,
}

#[derive(Clone, Debug)]
pub enum Subject {
    Documents(Arc<Vec<DocumentName>>),
    Query(Arc<Query>),
}

pub type Message = listen_response::ResponseType;

impl WatchedTarget {
    pub fn parse(target: Target, database: Option<&Database>) -> Result<Self, Status> {
        let subject = match target.target_type {
            Some(target::TargetType::Documents(documents)) => {
                let names = documents.documents.iter().map(|name| DocumentName::parse(name));
                Subject::Documents(Arc::new(names.collect::<Result<_, _>>()?))
            }
            Some(target::TargetType::Query(query)) => match query.query_type {
                Some(target::query_target::QueryType::StructuredQuery(structured)) => {
                    let parent = Parent::parse(&query.parent)?;
                    Subject::Query(Arc::new(Query::parse(parent, structured)?))
                }
                None => return Err(Status::invalid_argument("A query target has no query")),
            },
            None => {
                let message = "A target has neither a query nor documents";
                return Err(Status::invalid_argument(message));
            }
        };
        let in_other_database = match &subject {
            Subject::Documents(names) => names.iter().any(|name| Some(name.database()) != database),
            Subject::Query(query) => Some(query.scope.parent.database()) != database,
        };
        if in_other_database {
            return Err(Status::invalid_argument("The target is in another database"));
        }
        Ok(Self {
            id: target.target_id,
            subject,
            sent: BTreeMap::new(),
            initialized: false,
            up_to_date: None,
        })
    }

    /// Whether a change of the document may change the target's state.
    pub fn is_affected_by(&self, name: &DocumentName) -> bool {
        match &self.subject {
            Subject::Documents(names) => names.contains(name),
            Subject::Query(query) => query.scope.contains(name),
        }
    }

    /// The messages that update the client's state to the documents found.
    pub fn difference(&mut self, found: &[Document], read_time: Micros) -> Vec<Message> {
        let now: BTreeMap<String, Micros> =
            found.iter().map(|document| (document.name.clone(), update_time(document))).collect();
        let mut messages = Vec::new();
        for name in self.sent.keys().filter(|name| !now.contains_key(*name)) {
            messages.push(self.removed(name, read_time));
        }
        for document in found {
            if self.sent.get(&document.name) != now.get(&document.name) {
                messages.push(Message::DocumentChange(DocumentChange {
                    document: Some(document.clone()),
                    target_ids: vec![self.id],
                    removed_target_ids: Vec::new(),
                }));
            }
        }
        if let Subject::Documents(names) = &self.subject
            && !self.initialized
        {
            // Reports missing documents once, so that the client learns that they do not exist.
            for name in names.iter().map(ToString::to_string) {
                if !now.contains_key(&name) && !self.sent.contains_key(&name) {
                    messages.push(self.deleted(&name, read_time));
                }
            }
        }
        self.sent = now;
        self.initialized = true;
        messages
    }

    /// How the next messages are billed.
    pub fn charge(&self) -> Charge {
        match self.up_to_date {
            _ if self.initialized => Charge::Changes,
            Some(time) => Charge::Since(time),
            None => Charge::New,
        }
    }

    /// The message for a document that left the target. A document that left a query's result may
    /// still exist; a document that is watched by name leaves only when it is deleted.
    fn removed(&self, name: &str, read_time: Micros) -> Message {
        match &self.subject {
            Subject::Documents(_) => self.deleted(name, read_time),
            Subject::Query(_) => Message::DocumentRemove(DocumentRemove {
                document: name.to_owned(),
                removed_target_ids: vec![self.id],
                read_time: Some(read_time.into()),
            }),
        }
    }

    fn deleted(&self, name: &str, read_time: Micros) -> Message {
        Message::DocumentDelete(DocumentDelete {
            document: name.to_owned(),
            removed_target_ids: vec![self.id],
            read_time: Some(read_time.into()),
        })
    }
}

impl Subject {
    /// Bills the messages: one read for each new or changed document, and one for each document
    /// that left a result because it changed; none for a deleted document. The first messages of a
    /// target are billed as the corresponding get or query, or for a target that was resumed in time,
    /// one read for each document that changed meanwhile.
    pub fn bill(
        &self,
        service: &Service,
        messages: &[Message],
        charge: Charge,
    ) -> Result<(), Status> {
        let (mut sent, mut left) = (Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::DocumentChange(DocumentChange { document: Some(document), .. }) => {
                    if matches!(charge, Charge::Since(time) if update_time(document) <= time) {
                        continue;
                    }
                    sent.push(DocumentName::parse(&document.name)?);
                }
                Message::DocumentRemove(removed) => {
                    left.push(DocumentName::parse(&removed.document)?);
                }
                _ => {}
            }
        }
        match self {
            Self::Documents(names) => {
                let is_new = matches!(charge, Charge::New);
                let billed = if is_new { names.iter() } else { sent.iter() };
                billed.for_each(|name| service.meter.got(name));
            }
            Self::Query(query) if matches!(charge, Charge::New) => {
                service.meter.queried(query, sent.len());
            }
            Self::Query(query) => {
                let existing = service.engine.get(&left, None, None)?.into_iter().flatten();
                service.meter.read(query, (sent.len() + existing.count()) as u64);
            }
        }
        Ok(())
    }

    /// Reads the current state.
    pub fn read(&self, service: &Service) -> Result<Vec<Document>, Status> {
        let mut documents = Vec::new();
        match self {
            Self::Documents(names) => {
                let found = service.engine.get(names, None, None)?;
                if let Some(user) = &service.user {
                    let names = names.iter().map(ToString::to_string);
                    user.check_found(service, &names.zip(found.clone()).collect::<Vec<_>>())?;
                }
                documents.extend(found.into_iter().flatten());
            }
            Self::Query(query) => {
                service.engine.query(query, None, None, &mut |document| {
                    documents.push(query.project(document));
                    true
                })?;
            }
        }
        Ok(documents)
    }
}
