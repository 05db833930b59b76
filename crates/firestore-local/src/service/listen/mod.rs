//! Listen: sends the results of queries and the state of documents, and their changes.
//!
//! After each commit that may affect a target, its query runs again, and the result is compared
//! with what the client has. That reads the whole result for each change, which a local server can
//! afford, and is correct by construction for limits and cursors, too.

mod watched;

use futures::StreamExt;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Answers, Service};
use crate::model::path::Database;
use crate::model::time::Micros;
use crate::proto::target_change::TargetChangeType;
use crate::proto::{
    ListenRequest, ListenResponse, Target, TargetChange, listen_request, listen_response, target,
};
use watched::{Message, Subject, WatchedTarget};

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
    targets: Vec<WatchedTarget>,
    database: Option<Database>,
}

/// The time of the state that a client had when it left.
fn resumed_at(target: &Target) -> Option<Micros> {
    match target.resume_type.as_ref()? {
        target::ResumeType::ReadTime(time) => Some(Micros::from(time)),
        target::ResumeType::ResumeToken(token) => {
            Some(Micros(i64::from_be_bytes(token.as_slice().try_into().ok()?)))
        }
    }
}

/// The client has gone, or the stream must end.
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
                        let affected = |target: &WatchedTarget| {
                            committed.names.iter().any(|name| target.is_affected_by(name))
                        };
                        self.refresh(affected).await
                    }
                    Ok(_) => Ok(()),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.refresh(|_| true).await,
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
            return self
                .fail(Status::invalid_argument("A stream can listen to one database"))
                .await;
        }
        match request.target_change {
            Some(listen_request::TargetChange::AddTarget(target)) => self.add(target).await,
            Some(listen_request::TargetChange::RemoveTarget(id)) => {
                self.targets.retain(|target| target.id != id);
                self.send_change(TargetChangeType::Remove, vec![id], None).await
            }
            None => {
                self.fail(Status::invalid_argument("A listen request has no target change")).await
            }
        }
    }

    async fn add(&mut self, mut target: Target) -> Result<(), Ended> {
        if target.target_id == 0 {
            let highest = self.targets.iter().map(|target| target.id).max().unwrap_or(0);
            target.target_id = highest.saturating_add(1);
        }
        let id = target.target_id;
        let (once, resumed) = (target.once, target.resume_type.is_some());
        let up_to_date = resumed_at(&target).filter(|time| self.service.meter.is_resumable(*time));
        if let Some(user) = &self.service.user
            && let Err(status) = user.check_target(&self.service, &target).await
        {
            return self.refuse(id, &status).await;
        }
        let mut watched = match WatchedTarget::parse(target, self.database.as_ref()) {
            Ok(watched) => watched,
            Err(status) => return self.refuse(id, &status).await,
        };
        watched.up_to_date = up_to_date;
        if let Subject::Query(query) = &watched.subject
            && let Err(status) = self.service.indexes.admit(query, [])
        {
            return self.refuse(id, &status).await;
        }
        self.targets.retain(|target| target.id != id);
        self.send_change(TargetChangeType::Add, vec![id], None).await?;
        if resumed {
            // The client's state may be of any age, so the client gets the whole state again.
            self.send_change(TargetChangeType::Reset, vec![id], None).await?;
        }
        self.targets.push(watched);
        let last = self.targets.len() - 1;
        let read_time = self.send_difference(last).await?;
        self.send_change(TargetChangeType::Current, vec![id], Some(read_time)).await?;
        self.send_change(TargetChangeType::NoChange, Vec::new(), Some(read_time)).await?;
        if once {
            self.targets.retain(|target| target.id != id);
            self.send_change(TargetChangeType::Remove, vec![id], None).await?;
        }
        Ok(())
    }

    /// Sends the changes of the targets that a commit affects.
    async fn refresh(&mut self, affected: impl Fn(&WatchedTarget) -> bool) -> Result<(), Ended> {
        let indexes: Vec<_> =
            (0..self.targets.len()).filter(|index| affected(&self.targets[*index])).collect();
        let mut read_time = None;
        for index in indexes {
            let time = self.send_difference(index).await?;
            read_time = Some(read_time.map_or(time, |other: Micros| other.min(time)));
        }
        match read_time {
            Some(time) => {
                self.send_change(TargetChangeType::NoChange, Vec::new(), Some(time)).await
            }
            None => Ok(()),
        }
    }

    /// Sends the difference between the target's current state and the client's state.
    async fn send_difference(&mut self, index: usize) -> Result<Micros, Ended> {
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
        let subject = self.targets[index].subject.clone();
        let found = self.service.blocking(move |service| subject.read(service)).await?;
        let target = &mut self.targets[index];
        let (subject, charge) = (target.subject.clone(), target.charge());
        let messages = target.difference(&found, at);
        self.service
            .blocking(move |service| {
                subject.bill(service, &messages, charge)?;
                Ok(messages)
            })
            .await
    }

    async fn send_change(
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

    /// Refuses one target; the other targets continue.
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
