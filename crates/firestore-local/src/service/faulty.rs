//! The service with fault injection: every request passes here, and meets the fault that the plan
//! has for it.

use std::sync::Arc;

use futures::StreamExt;
use prost::Message;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{Answer, Answers, Service};
use crate::connection::ConnectionHandle;
use crate::faults::{Fault, Faults, NamedCollections};

/// Firestore's limit on the size of a request.
const MAX_REQUEST_BYTES: usize = 10 << 20;

#[derive(Clone)]
pub struct Faulty {
    pub service: Service,
    pub faults: Arc<Faults>,
}

fn lost_answer() -> Status {
    Status::unavailable("injected fault: the answer was lost")
}

/// The connection that a request came over.
fn connection<T>(request: &Request<T>) -> Option<ConnectionHandle> {
    request.extensions().get::<ConnectionHandle>().cloned()
}

fn close(connection: Option<ConnectionHandle>) -> Status {
    if let Some(connection) = connection {
        connection.close();
    }
    lost_answer()
}

/// A stream of answers that begins with an error: the client receives headers first, as from
/// Firestore. Some SDKs treat an error without headers as a broken connection, and retry for seconds.
fn failing<T: Send + 'static>(status: Status) -> Response<Answers<T>> {
    let only: Answers<T> = Box::pin(futures::stream::once(async { Err(status) }));
    Response::new(only)
}

/// Checks the size of a request.
fn admit<T: Message>(request: Request<T>) -> Result<T, Status> {
    let request = request.into_inner();
    if request.encoded_len() > MAX_REQUEST_BYTES {
        return Err(Status::invalid_argument(format!(
            "Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes."
        )));
    }
    Ok(request)
}

impl Faulty {
    /// Applies a fault that comes before the request is carried out.
    async fn before(
        &self,
        fault: Option<Fault>,
        connection: Option<&ConnectionHandle>,
    ) -> Result<(), Status> {
        match fault {
            Some(Fault::Refuse { code }) => {
                Err(Status::new(Code::from(code), "injected fault: the request was refused"))
            }
            Some(Fault::Drop) => Err(close(connection.cloned())),
            Some(Fault::Hold) => {
                self.faults.hold().await;
                Ok(())
            }
            Some(fault) => {
                if let Some(delay) = fault.delay() {
                    tokio::time::sleep(delay).await;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// An RPC with a single answer.
    pub(super) async fn unary<T, R, F>(
        &self,
        rpc: &str,
        request: Request<T>,
        call: impl FnOnce(T) -> F,
    ) -> Answer<R>
    where
        T: Message + NamedCollections,
        F: Future<Output = Result<R, Status>>,
    {
        let fault = self.faults.decide(rpc, request.get_ref());
        let connection = connection(&request);
        self.before(fault, connection.as_ref()).await?;
        let answer = match admit(request) {
            Ok(request) => call(request).await.map(Response::new),
            Err(status) => Err(status),
        };
        if fault == Some(Fault::HoldAnswer) {
            self.faults.hold().await;
        }
        match fault {
            Some(Fault::LoseAnswer) => Err(lost_answer()),
            Some(Fault::DropAnswer) => Err(close(connection)),
            _ => answer,
        }
    }

    /// An RPC with a stream of answers.
    pub(super) async fn stream<T, R, F>(
        &self,
        rpc: &str,
        request: Request<T>,
        call: impl FnOnce(T) -> F,
    ) -> Answer<Answers<R>>
    where
        T: Message + NamedCollections,
        R: Send + 'static,
        F: Future<Output = Result<Answers<R>, Status>>,
    {
        self.stream_of_any_size(rpc, request, async |request| call(admit(request)?).await).await
    }

    /// An RPC with a stream of answers whose request is not limited in size. Every error is sent
    /// inside the stream.
    pub(super) async fn stream_of_any_size<T: NamedCollections, R: Send + 'static>(
        &self,
        rpc: &str,
        request: Request<T>,
        call: impl AsyncFnOnce(Request<T>) -> Result<Answers<R>, Status>,
    ) -> Answer<Answers<R>> {
        Ok(self.answers(rpc, request, call).await.map_or_else(failing, Response::new))
    }

    async fn answers<T: NamedCollections, R: Send + 'static>(
        &self,
        rpc: &str,
        request: Request<T>,
        call: impl AsyncFnOnce(Request<T>) -> Result<Answers<R>, Status>,
    ) -> Result<Answers<R>, Status> {
        let fault = self.faults.decide(rpc, request.get_ref());
        let connection = connection(&request);
        self.before(fault, connection.as_ref()).await?;
        let mut answers = call(request).await;
        if fault == Some(Fault::HoldAnswer) {
            answers = Ok(with_first_answer(answers?).await);
            self.faults.hold().await;
        }
        match fault {
            Some(Fault::LoseAnswer) => Err(lost_answer()),
            Some(Fault::DropAnswer) => Err(close(connection)),
            Some(Fault::Cut { after }) => Ok(cut(answers?, after)),
            _ => answers,
        }
    }

    /// An RPC with streams in both directions. A lost answer is the one after the first `opening`
    /// answers, which only open the stream.
    pub(super) async fn both_ways<T, R: Send + 'static>(
        &self,
        rpc: &str,
        request: Request<Streaming<T>>,
        opening: usize,
        call: impl FnOnce(Streaming<T>) -> Answers<R>,
    ) -> Answer<Answers<R>> {
        let fault = self.faults.decide(rpc, &());
        let connection = connection(&request);
        if let Err(status) = self.before(fault, connection.as_ref()).await {
            return Ok(failing(status));
        }
        let answers = call(request.into_inner());
        Ok(Response::new(match fault {
            Some(Fault::Cut { after }) => cut(answers, after),
            Some(Fault::LoseAnswer) => lose(answers, opening, None),
            Some(Fault::DropAnswer) => lose(answers, opening, connection),
            _ => answers,
        }))
    }
}

/// Waits for the first answer of a stream: from then on the content of the others is fixed.
async fn with_first_answer<T: Send + 'static>(answers: Answers<T>) -> Answers<T> {
    let mut answers = Box::pin(answers.peekable());
    answers.as_mut().peek().await;
    answers
}

/// The first answers, followed by the error that a broken connection causes.
fn cut<T: Send + 'static>(answers: Answers<T>, after: usize) -> Answers<T> {
    let end = futures::stream::once(async { Err(lost_answer()) });
    Box::pin(answers.take(after).chain(end))
}

/// The first `opening` answers; the next one is produced but does not reach the client.
fn lose<T: Send + 'static>(
    answers: Answers<T>,
    opening: usize,
    connection: Option<ConnectionHandle>,
) -> Answers<T> {
    let answers = answers.enumerate().scan(false, move |lost, (position, answer)| {
        let next = match (*lost, position < opening) {
            (true, _) => None,
            (false, true) => Some(answer),
            (false, false) => {
                *lost = true;
                Some(Err(close(connection.clone())))
            }
        };
        futures::future::ready(next)
    });
    Box::pin(answers)
}
