//! Listen: the results of queries and the state of documents, as they change.
//!
//! After each commit that may concern a target, its query is asked again and compared with what
//! the client has. That costs a read of the result for each change, which a local server can
//! afford, and is right by construction, limits and cursors included.

mod target;

use futures::StreamExt;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Answers, Service};
use crate::model::path::Database;
use crate::model::time::Micros;
use crate::proto::target_change::TargetChangeType;
use crate::proto::{
    ListenRequest, ListenResponse, Target, TargetChange, listen_request, listen_response,
};
use target::{Message, Watched};

pub fn run(service: Service, requests: Streaming<ListenRequest>) -> Answers<ListenResponse> {
    let (answers, stream) = mpsc::channel(256);
    tokio::spawn(async move {
        let listener = Listener { service, answers, targets: Vec::new(), database: None };
        listener.serve(requests).await;
    });
    Box::pin(ReceiverStream::new(stream))
}

struct Listener {
    service: Service,
    answers: mpsc::Sender<Result<ListenResponse, Status>>,
    targets: Vec<Watched>,
    database: Option<Database>,
}

/// The client went away, or the stream is to end.
struct Ended;

impl Listener {
    async fn serve(mut self, mut requests: Streaming<ListenRequest>) {
        let mut events = self.service.engine.events();
        loop {
            let outcome = tokio::select! {
                () = self.answers.closed() => return,
                request = requests.next() => match request {
                    Some(Ok(request)) => self.request(request).await,
                    Some(Err(_)) | None => return,
                },
                event = events.recv() => match event {
                    Ok(committed) if self.database.as_ref() == Some(&committed.database) => {
                        self.changed(|target| committed.names.iter().any(|name| target.concerns(name)))
                            .await
                    }
                    Ok(_) => Ok(()),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.changed(|_| true).await,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    async fn request(&mut self, request: ListenRequest) -> Result<(), Ended> {
        let database = match Database::parse(&request.database) {
            Ok(database) => database,
            Err(status) => return self.fail(status).await,
        };
        if self.database.get_or_insert_with(|| database.clone()) != &database {
            return self.fail(Status::invalid_argument("A stream listens to one database")).await;
        }
        match request.target_change {
            Some(listen_request::TargetChange::AddTarget(target)) => self.add(target).await,
            Some(listen_request::TargetChange::RemoveTarget(id)) => {
                self.targets.retain(|target| target.id != id);
                self.change(TargetChangeType::Remove, vec![id], None).await
            }
            None => self.fail(Status::invalid_argument("A listen request changes no target")).await,
        }
    }

    async fn add(&mut self, mut target: Target) -> Result<(), Ended> {
        if target.target_id == 0 {
            let highest = self.targets.iter().map(|target| target.id).max().unwrap_or(0);
            target.target_id = highest.saturating_add(1);
        }
        let id = target.target_id;
        let (once, resumed) = (target.once, target.resume_type.is_some());
        let watched = match Watched::parse(target, self.database.as_ref()) {
            Ok(watched) => watched,
            Err(status) => return self.refuse(id, &status).await,
        };
        self.targets.retain(|target| target.id != id);
        self.change(TargetChangeType::Add, vec![id], None).await?;
        if resumed {
            // What the client has may be of any age: it gets everything anew.
            self.change(TargetChangeType::Reset, vec![id], None).await?;
        }
        self.targets.push(watched);
        let last = self.targets.len() - 1;
        let read_time = self.bring_up_to_date(last).await?;
        self.change(TargetChangeType::Current, vec![id], Some(read_time)).await?;
        self.change(TargetChangeType::NoChange, Vec::new(), Some(read_time)).await?;
        if once {
            self.targets.retain(|target| target.id != id);
            self.change(TargetChangeType::Remove, vec![id], None).await?;
        }
        Ok(())
    }

    /// Tells what changed in the targets that a commit concerns.
    async fn changed(&mut self, concerned: impl Fn(&Watched) -> bool) -> Result<(), Ended> {
        let indexes: Vec<_> =
            (0..self.targets.len()).filter(|index| concerned(&self.targets[*index])).collect();
        let mut read_time = None;
        for index in indexes {
            let time = self.bring_up_to_date(index).await?;
            read_time = Some(read_time.map_or(time, |other: Micros| other.min(time)));
        }
        match read_time {
            Some(time) => self.change(TargetChangeType::NoChange, Vec::new(), Some(time)).await,
            None => Ok(()),
        }
    }

    /// Sends the difference between what the target shows now and what the client has.
    async fn bring_up_to_date(&mut self, index: usize) -> Result<Micros, Ended> {
        let read_time = self.service.engine.read_time();
        match self.difference(index, read_time).await {
            Ok(messages) => {
                for message in messages {
                    self.send(message).await?;
                }
                Ok(read_time)
            }
            Err(status) => {
                self.fail(status).await?;
                Err(Ended)
            }
        }
    }

    async fn difference(&mut self, index: usize, at: Micros) -> Result<Vec<Message>, Status> {
        let what = self.targets[index].what.clone();
        let found = self.service.blocking(move |service| what.read(service)).await?;
        let target = &mut self.targets[index];
        let (what, first) = (target.what.clone(), target.is_new());
        let messages = target.difference(&found, at);
        self.service
            .blocking(move |service| {
                what.bill(service, &messages, first)?;
                Ok(messages)
            })
            .await
    }

    async fn change(
        &self,
        kind: TargetChangeType,
        target_ids: Vec<i32>,
        read_time: Option<Micros>,
    ) -> Result<(), Ended> {
        let resume_token = read_time.map(|time| time.0.to_be_bytes().to_vec());
        let change = TargetChange {
            target_change_type: kind.into(),
            target_ids,
            cause: None,
            resume_token: resume_token.unwrap_or_default(),
            read_time: read_time.map(Into::into),
        };
        self.send(listen_response::ResponseType::TargetChange(change)).await
    }

    /// Refuses one target; the others go on.
    async fn refuse(&self, id: i32, status: &Status) -> Result<(), Ended> {
        let change = TargetChange {
            target_change_type: TargetChangeType::Remove.into(),
            target_ids: vec![id],
            cause: Some(firestore::gcloud_sdk::google::rpc::Status {
                code: status.code().into(),
                message: status.message().to_owned(),
                details: Vec::new(),
            }),
            ..TargetChange::default()
        };
        self.send(listen_response::ResponseType::TargetChange(change)).await
    }

    async fn send(&self, message: listen_response::ResponseType) -> Result<(), Ended> {
        let response = ListenResponse { response_type: Some(message) };
        self.answers.send(Ok(response)).await.map_err(|_| Ended)
    }

    async fn fail(&self, status: Status) -> Result<(), Ended> {
        let _ = self.answers.send(Err(status)).await;
        Err(Ended)
    }
}
