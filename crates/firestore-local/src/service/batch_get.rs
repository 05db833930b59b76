//! BatchGetDocuments.

use tonic::Status;

use super::selector::selector;
use super::{Answers, Service};
use crate::model::field_path::{parse_mask, project};
use crate::model::path::{Database, DocumentName};
use crate::proto::batch_get_documents_response::Result as Found;
use crate::proto::{BatchGetDocumentsRequest, BatchGetDocumentsResponse};

pub async fn run(
    service: &Service,
    request: BatchGetDocumentsRequest,
) -> Result<Answers<BatchGetDocumentsResponse>, Status> {
    let database = Database::parse(&request.database)?;
    let mut names = Vec::with_capacity(request.documents.len());
    for name in &request.documents {
        let name = DocumentName::parse(name)?;
        if *name.database() != database {
            return Err(Status::invalid_argument(format!("{name} is not in database {database}")));
        }
        // A name that is requested twice is answered once.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mask = request.mask.as_ref().map(parse_mask).transpose()?;
    let selector =
        selector!(batch_get_documents_request, request.consistency_selector, [NewTransaction]);
    let mut view = service.view(&database, selector).await?;
    view.lock_documents(service, &names).await?;
    let answers = service
        .blocking(move |service| {
            let found = service.engine.get(&names, view.at, view.reads.as_ref())?;
            let mut answers = Vec::with_capacity(names.len() + 1);
            let read_time = Some(view.read_time.into());
            if let Some(transaction) = view.new_transaction {
                let first = BatchGetDocumentsResponse {
                    transaction,
                    ..BatchGetDocumentsResponse::default()
                };
                answers.push(Ok(first));
            }
            for (name, document) in names.iter().zip(found) {
                service.meter.got(name);
                let result = match document {
                    Some(document) => Found::Found(project(document, mask.as_deref())),
                    None => Found::Missing(name.to_string()),
                };
                answers.push(Ok(BatchGetDocumentsResponse {
                    result: Some(result),
                    read_time,
                    ..BatchGetDocumentsResponse::default()
                }));
            }
            Ok(answers)
        })
        .await?;
    Ok(Box::pin(futures::stream::iter(answers)))
}
