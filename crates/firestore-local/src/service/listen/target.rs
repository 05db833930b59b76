//! A target: what is listened to, and what the client has been told of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tonic::Status;

use crate::model::path::{Database, DocumentName, Parent};
use crate::model::query::Query;
use crate::model::time::Micros;
use crate::proto::{
    Document, DocumentChange, DocumentDelete, DocumentRemove, Target, listen_response, target,
};
use crate::service::Service;

#[derive(Debug)]
pub struct Watched {
    pub id: i32,
    pub what: What,
    /// Documents that the client has, with their update times.
    told: BTreeMap<String, Micros>,
    /// Whether the client has been told anything yet.
    begun: bool,
}

#[derive(Clone, Debug)]
pub enum What {
    Documents(Arc<Vec<DocumentName>>),
    Query(Arc<Query>),
}

pub type Message = listen_response::ResponseType;

impl Watched {
    pub fn parse(target: Target, database: Option<&Database>) -> Result<Self, Status> {
        let what = match target.target_type {
            Some(target::TargetType::Documents(documents)) => {
                let names = documents.documents.iter().map(|name| DocumentName::parse(name));
                What::Documents(Arc::new(names.collect::<Result<_, _>>()?))
            }
            Some(target::TargetType::Query(query)) => match query.query_type {
                Some(target::query_target::QueryType::StructuredQuery(structured)) => {
                    let parent = Parent::parse(&query.parent)?;
                    What::Query(Arc::new(Query::parse(parent, structured)?))
                }
                None => return Err(Status::invalid_argument("A query target has no query")),
            },
            None => {
                return Err(Status::invalid_argument("A target is neither query nor documents"));
            }
        };
        let elsewhere = match &what {
            What::Documents(names) => names.iter().any(|name| Some(name.database()) != database),
            What::Query(query) => Some(query.scope.parent.database()) != database,
        };
        if elsewhere {
            return Err(Status::invalid_argument("The target is in another database"));
        }
        Ok(Self { id: target.target_id, what, told: BTreeMap::new(), begun: false })
    }

    /// Whether a change of the document may change what the target shows.
    pub fn concerns(&self, name: &DocumentName) -> bool {
        match &self.what {
            What::Documents(names) => names.contains(name),
            What::Query(query) => query.scope.contains(name),
        }
    }

    /// The messages that bring the client from what it has to what was found.
    pub fn difference(&mut self, found: &[Document], read_time: Micros) -> Vec<Message> {
        let now: BTreeMap<String, Micros> = found
            .iter()
            .map(|document| {
                let updated = document.update_time.unwrap_or_default();
                (document.name.clone(), Micros::from(&updated))
            })
            .collect();
        let mut messages = Vec::new();
        for name in self.told.keys().filter(|name| !now.contains_key(*name)) {
            messages.push(self.gone(name, read_time));
        }
        for document in found {
            if self.told.get(&document.name) != now.get(&document.name) {
                messages.push(Message::DocumentChange(DocumentChange {
                    document: Some(document.clone()),
                    target_ids: vec![self.id],
                    removed_target_ids: Vec::new(),
                }));
            }
        }
        if let What::Documents(names) = &self.what
            && !self.begun
        {
            // Once, so that the client knows of what was never there.
            for name in names.iter().map(ToString::to_string) {
                if !now.contains_key(&name) && !self.told.contains_key(&name) {
                    messages.push(self.deleted(&name, read_time));
                }
            }
        }
        self.told = now;
        self.begun = true;
        messages
    }

    /// Whether the next messages are the first.
    pub fn is_new(&self) -> bool {
        !self.begun
    }

    /// A document left a query's result, which says nothing of whether it exists; a document that
    /// is listened to by name is gone only when it was deleted.
    fn gone(&self, name: &str, read_time: Micros) -> Message {
        match &self.what {
            What::Documents(_) => self.deleted(name, read_time),
            What::Query(_) => Message::DocumentRemove(DocumentRemove {
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

impl What {
    /// Bills what a client is told: a read for each document that is new to it or changed, and for
    /// each that left a result because it changed; none for one that was deleted. The first
    /// messages of a target are billed as the get or the query that they stand for.
    pub fn bill(&self, service: &Service, messages: &[Message], first: bool) -> Result<(), Status> {
        let (mut sent, mut left) = (Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::DocumentChange(DocumentChange { document: Some(document), .. }) => {
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
                let billed = if first { names.iter() } else { sent.iter() };
                billed.for_each(|name| service.meter.got(name));
            }
            Self::Query(query) if first => service.meter.queried(query, sent.len()),
            Self::Query(query) => {
                let still_there = service.engine.get(&left, None, None)?.into_iter().flatten();
                service.meter.read(query, (sent.len() + still_there.count()) as u64);
            }
        }
        Ok(())
    }

    /// What the target shows now.
    pub fn read(&self, service: &Service) -> Result<Vec<Document>, Status> {
        let mut documents = Vec::new();
        match self {
            Self::Documents(names) => {
                let found = service.engine.get(names, None, None)?;
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
