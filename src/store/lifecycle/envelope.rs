//! `ops_envelopes/{policy}`, as transitions need it.

use firestore_kit::proto::{Document, Write};
use firestore_kit::{Transaction, value};

use super::policy::patch;
use crate::store::collection::ENVELOPES;
use crate::store::{Result, Store};
use f0_learning_core::tuning::envelope::Envelope;

impl Store {
    pub(in crate::store) async fn envelope_in(
        &self,
        policy: &str,
        transaction: &Transaction,
    ) -> Result<Option<(Document, Envelope)>> {
        let found = self.db.get_in(ENVELOPES, policy, transaction).await?;
        found.map(|it| Ok((it.clone(), self.decode_envelope(&it)?))).transpose()
    }

    pub(in crate::store) fn decode_envelope(&self, document: &Document) -> Result<Envelope> {
        let name = self.db.short_name(&document.name);
        value::from_fields(&document.fields).map_err(|error| error.of_document(name, "an envelope"))
    }
}

/// The write that freezes an envelope.
pub(in crate::store) fn frozen(document: &Document, why: &str) -> Write {
    patch(document, value::fields([("frozen", value::string(why))]), &[])
}
