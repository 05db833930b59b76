//! GetDocument, CreateDocument, UpdateDocument, DeleteDocument.

use tonic::Status;

use super::selector::selector;
use super::{Service, writes};
use crate::ambient;
use crate::model::field_path::{parse_mask, project};
use crate::model::path::{DocumentName, Parent};
use crate::proto::{
    CreateDocumentRequest, DeleteDocumentRequest, Document, DocumentMask, Empty,
    GetDocumentRequest, Precondition, UpdateDocumentRequest, Write, precondition::ConditionType,
    write::Operation,
};

pub async fn get(service: &Service, request: GetDocumentRequest) -> Result<Document, Status> {
    let name = DocumentName::parse(&request.name)?;
    let mask = request.mask.as_ref().map(parse_mask).transpose()?;
    let selector = selector!(get_document_request, request.consistency_selector, []);
    let mut view = service.view(name.database(), selector).await?;
    view.lock_documents(service, std::slice::from_ref(&name)).await?;
    service
        .blocking(move |service| {
            let found =
                service.engine.get(std::slice::from_ref(&name), view.at, view.reads.as_ref())?;
            service.meter.got(&name);
            let document = found.into_iter().flatten().next();
            let document = document
                .ok_or_else(|| Status::not_found(format!("Document \"{name}\" not found.")))?;
            Ok(project(document, mask.as_deref()))
        })
        .await
}

pub async fn create(service: &Service, request: CreateDocumentRequest) -> Result<Document, Status> {
    let parent = Parent::parse(&request.parent)?;
    let id = match request.document_id.as_str() {
        "" => generated_id(),
        id => id.to_owned(),
    };
    let name = parent.document(&request.collection_id, &id)?;
    let document = Document { name: name.to_string(), ..request.document.unwrap_or_default() };
    put(service, document, None, Some(ConditionType::Exists(false)), request.mask).await
}

pub async fn update(service: &Service, request: UpdateDocumentRequest) -> Result<Document, Status> {
    let document = request.document.unwrap_or_default();
    let condition = request.current_document.and_then(|condition| condition.condition_type);
    put(service, document, request.update_mask, condition, request.mask).await
}

async fn put(
    service: &Service,
    document: Document,
    update_mask: Option<DocumentMask>,
    condition: Option<ConditionType>,
    mask: Option<DocumentMask>,
) -> Result<Document, Status> {
    let name = DocumentName::parse(&document.name)?;
    let mask = mask.as_ref().map(parse_mask).transpose()?;
    let write = Write {
        operation: Some(Operation::Update(document)),
        update_mask,
        current_document: condition.map(|kind| Precondition { condition_type: Some(kind) }),
        ..Write::default()
    };
    writes::apply(service, name.database(), vec![write], None).await?;
    let stored = service
        .blocking(move |service| service.engine.get(&[name], None, None))
        .await?
        .into_iter()
        .flatten()
        .next();
    let deleted = || Status::aborted("the document was deleted right after this write");
    let stored = stored.ok_or_else(deleted)?;
    Ok(project(stored, mask.as_deref()))
}

pub async fn delete(service: &Service, request: DeleteDocumentRequest) -> Result<Empty, Status> {
    let name = DocumentName::parse(&request.name)?;
    let write = Write {
        operation: Some(Operation::Delete(request.name)),
        current_document: request.current_document,
        ..Write::default()
    };
    writes::apply(service, name.database(), vec![write], None).await?;
    Ok(())
}

/// Twenty letters and digits, like the ids that Firestore generates.
fn generated_id() -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let random = [ambient::random_id().into_bytes(), ambient::random_id().into_bytes()].concat();
    random.iter().take(20).map(|byte| char::from(ALPHABET[usize::from(*byte) % 62])).collect()
}
