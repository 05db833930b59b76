//! ListDocuments and ListCollectionIds.

use std::collections::BTreeSet;
use std::ops::Bound;

use tonic::Status;

use super::Service;
use super::selector::{Selector, View, selector};
use crate::model::field_path::{FieldPath, parse_mask, project};
use crate::model::path::{DocumentName, Parent, collection_below, successor};
use crate::model::query::Query;
use crate::model::time::Micros;
use crate::proto::structured_query::{CollectionSelector, Direction, FieldReference, Order};
use crate::proto::{
    Cursor, Document, ListCollectionIdsRequest, ListCollectionIdsResponse, ListDocumentsRequest,
    ListDocumentsResponse, StructuredQuery, Value, list_collection_ids_request, value::ValueType,
};

const DEFAULT_PAGE: usize = 300;

fn page_size(requested: i32) -> usize {
    usize::try_from(requested).ok().filter(|size| *size > 0).unwrap_or(DEFAULT_PAGE)
}

pub async fn documents(
    service: &Service,
    request: ListDocumentsRequest,
) -> Result<ListDocumentsResponse, Status> {
    let parent = Parent::parse(&request.parent)?;
    let mask = request.mask.as_ref().map(parse_mask).transpose()?;
    let size = page_size(request.page_size);
    let selector = selector!(list_documents_request, request.consistency_selector, []);
    let mut view = service.view(parent.database(), selector).await?;
    if request.show_missing {
        if !request.order_by.is_empty() {
            return Err(Status::invalid_argument("show_missing cannot be combined with order_by"));
        }
        let (collection, token) = (request.collection_id, request.page_token);
        let all = page_query(&collection, &[], "", usize::MAX)?;
        view.lock_query(service, &Query::parse(parent.clone(), all)?).await?;
        return service
            .blocking(move |service| {
                with_missing(service, &parent, &collection, &token, size, mask.as_deref(), &view)
            })
            .await;
    }
    let orders = parse_order_by(&request.order_by)?;
    let structured = page_query(&request.collection_id, &orders, &request.page_token, size)?;
    let query = Query::parse(parent, structured)?;
    service.indexes.admit(&query, [])?;
    view.lock_query(service, &query).await?;
    service
        .blocking(move |service| {
            let mut found: Vec<Document> = Vec::new();
            let reads = view.reads.as_ref();
            service.engine.query(&query, view.at, reads, &mut |document| {
                found.push(document);
                true
            })?;
            let more = found.len() > size;
            found.truncate(size);
            service.meter.queried(&query, found.len());
            let token = found.last().filter(|_| more).map(|last| page_token(last, &orders));
            let documents =
                found.into_iter().map(|document| project(document, mask.as_deref())).collect();
            Ok(ListDocumentsResponse { documents, next_page_token: token.unwrap_or_default() })
        })
        .await
}

/// Parses `field [asc|desc], ...`.
fn parse_order_by(text: &str) -> Result<Vec<Order>, Status> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (path, direction) = match part.split_once(char::is_whitespace) {
                None => (part, Direction::Ascending),
                Some((path, word)) if word.trim().eq_ignore_ascii_case("asc") => {
                    (path, Direction::Ascending)
                }
                Some((path, word)) if word.trim().eq_ignore_ascii_case("desc") => {
                    (path, Direction::Descending)
                }
                Some(_) => {
                    return Err(Status::invalid_argument(format!("Invalid order_by {part:?}")));
                }
            };
            let field = FieldReference { field_path: path.to_owned() };
            Ok(Order { field: Some(field), direction: direction.into() })
        })
        .collect()
}

/// The query for a page and one more document, which shows whether there is another page. The page
/// token holds the last document's name and the values it was ordered by, in hexadecimal.
fn page_query(
    collection: &str,
    orders: &[Order],
    token: &str,
    size: usize,
) -> Result<StructuredQuery, Status> {
    let start_at = match token {
        "" => None,
        token => Some(decode_token(token)?),
    };
    let mut order_by = orders.to_vec();
    if start_at.is_some() && !order_by.iter().any(is_name) {
        let direction = order_by.last().map_or(Direction::Ascending.into(), |last| last.direction);
        let field = FieldReference { field_path: "__name__".to_owned() };
        order_by.push(Order { field: Some(field), direction });
    }
    Ok(StructuredQuery {
        from: vec![CollectionSelector {
            collection_id: collection.to_owned(),
            all_descendants: false,
        }],
        order_by,
        start_at,
        limit: Some(i32::try_from(size.saturating_add(1)).unwrap_or(i32::MAX)),
        ..StructuredQuery::default()
    })
}

fn is_name(order: &Order) -> bool {
    order.field.as_ref().is_some_and(|field| field.field_path == "__name__")
}

fn page_token(last: &Document, orders: &[Order]) -> String {
    let mut values: Vec<Value> = orders
        .iter()
        .take_while(|order| !is_name(order))
        .filter_map(|order| {
            let path = order.field.as_ref()?.field_path.as_str();
            FieldPath::parse(path).ok()?.get(&last.fields).cloned()
        })
        .collect();
    values.push(Value { value_type: Some(ValueType::ReferenceValue(last.name.clone())) });
    let cursor = Cursor { values, before: false };
    prost::Message::encode_to_vec(&cursor).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode_token(token: &str) -> Result<Cursor, Status> {
    let malformed =
        || Status::invalid_argument("Invalid page_token: expected one from this server");
    let digits = token.as_bytes();
    let bytes = digits
        .chunks(2)
        .map(|pair| {
            std::str::from_utf8(pair).ok().and_then(|text| u8::from_str_radix(text, 16).ok())
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(malformed)?;
    prost::Message::decode(bytes.as_slice()).map_err(|_| malformed())
}

/// The keys of documents that begin with a prefix, now or at an earlier time.
struct Keys<'a> {
    service: &'a Service,
    prefix: &'a [u8],
    /// The keys of an earlier time.
    then: Option<BTreeSet<Vec<u8>>>,
}

impl<'a> Keys<'a> {
    fn of(service: &'a Service, prefix: &'a [u8], at: Option<Micros>) -> Result<Self, Status> {
        let then = at.map(|at| service.engine.keys_at(prefix, at)).transpose()?;
        Ok(Self { service, prefix, then })
    }

    /// The first key from `from` on.
    fn next(&self, from: &[u8]) -> Result<Option<Vec<u8>>, Status> {
        if let Some(then) = &self.then {
            let from = (Bound::Included(from), Bound::Unbounded);
            return Ok(then.range::<[u8], _>(from).next().cloned());
        }
        let mut next = None;
        self.service.engine.keys(self.prefix, from, &mut |key| {
            next = Some(key.to_vec());
            false
        })?;
        Ok(next)
    }
}

/// Lists the documents of a collection by name, including missing documents that have documents
/// below them.
fn with_missing(
    service: &Service,
    parent: &Parent,
    collection: &str,
    token: &str,
    size: usize,
    mask: Option<&[FieldPath]>,
    view: &View,
) -> Result<ListDocumentsResponse, Status> {
    let prefix = parent.collection_key(collection);
    let mut from = match token {
        "" => prefix.clone(),
        token => successor(&DocumentName::parse(token)?.key()).unwrap_or_default(),
    };
    let keys = Keys::of(service, &prefix, view.at)?;
    let mut names: Vec<DocumentName> = Vec::new();
    // Each step finds the next document, by its own key or a key below it, and then skips all keys
    // below it.
    while names.len() <= size {
        let Some(key) = keys.next(&from)? else { break };
        let Some(id) = collection_below(&prefix, &key) else { break };
        let name = parent.document(collection, &id)?;
        from = successor(&name.key()).unwrap_or_default();
        names.push(name);
    }
    let more = names.len() > size;
    names.truncate(size);
    let next_page_token = if more {
        names.last().map(ToString::to_string).unwrap_or_default()
    } else {
        String::new()
    };
    let found = service.engine.get(&names, view.at, view.reads.as_ref())?;
    let documents = names
        .iter()
        .zip(found)
        .map(|(name, document)| {
            service.meter.got(name);
            let missing = || Document { name: name.to_string(), ..Document::default() };
            document.map_or_else(missing, |document| project(document, mask))
        })
        .collect();
    Ok(ListDocumentsResponse { documents, next_page_token })
}

pub async fn collection_ids(
    service: &Service,
    request: ListCollectionIdsRequest,
) -> Result<ListCollectionIdsResponse, Status> {
    let parent = Parent::parse(&request.parent)?;
    let selector = match request.consistency_selector {
        Some(list_collection_ids_request::ConsistencySelector::ReadTime(time)) => {
            Selector::At(time)
        }
        None => Selector::Now,
    };
    let view = service.view(parent.database(), selector).await?;
    let size = page_size(request.page_size);
    let token = request.page_token;
    service
        .blocking(move |service| {
            let prefix = parent.key();
            let keys = Keys::of(service, &prefix, view.at)?;
            // Keys are sorted; each step starts after the collection that the last step found.
            let mut ids: Vec<String> = Vec::new();
            let mut from = match token.as_str() {
                "" => prefix.clone(),
                last => successor(&parent.collection_key(last)).unwrap_or_default(),
            };
            while ids.len() <= size {
                let Some(key) = keys.next(&from)? else { break };
                // The parent's own document does not count.
                if key == prefix {
                    from.push(0);
                    continue;
                }
                let Some(id) = collection_below(&prefix, &key) else { break };
                from = successor(&parent.collection_key(&id)).unwrap_or_default();
                ids.push(id);
            }
            service.meter.listed_collections(&parent);
            let more = ids.len() > size;
            ids.truncate(size);
            let token = ids.last().filter(|_| more).cloned();
            Ok(ListCollectionIdsResponse {
                collection_ids: ids,
                next_page_token: token.unwrap_or_default(),
            })
        })
        .await
}
