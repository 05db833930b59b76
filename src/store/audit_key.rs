//! `ops_state/audit_key`: the secret from which the ids of audit entries with an Idempotency-Key are
//! derived.
//!
//! An entry that is found under the id of a request answers it as a repetition. So no one but the
//! service may know the id before the entry exists: otherwise a user who may create entries could make
//! the service answer a request that it never carried out. The security rules close `ops_state` to
//! all users. The secret is created in the transaction of the first change that needs it.

use std::fmt;

use firestore_kit::proto::{Document, Write};
use firestore_kit::{Transaction, value, write};
use ring::hmac;
use uuid::{Builder, Uuid};

use crate::store::ids::random_secret;
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATE};

pub(in crate::store) const AUDIT_KEY: &str = "audit_key";
const SECRET: &str = "secret";
const SECRET_BYTES: usize = 32;

/// The namespace of the ids that earlier versions derived without a secret (a random UUID).
const UNKEYED: Uuid = Uuid::from_u128(0x5b8e_0f6e_6f0b_4d0f_9c0a_36f0_1ea5_0036);

/// The secret, and when its document was created.
pub(in crate::store) struct AuditKey {
    secret: [u8; SECRET_BYTES],
    /// In epoch microseconds, by Firestore's clock; `None` if the document does not exist yet.
    created_us: Option<i64>,
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditKey").field("created_us", &self.created_us).finish_non_exhaustive()
    }
}

impl AuditKey {
    fn of(document: &Document) -> Result<Self> {
        let secret = value::as_bytes(&document.fields, SECRET).and_then(|it| it.try_into().ok());
        let Some(secret) = secret else {
            // The text must not quote what was found.
            let detail = format!("{SECRET} must be {SECRET_BYTES} bytes");
            return Err(StoreError::decode(format!("{STATE}/{AUDIT_KEY}"), "a secret", detail));
        };
        let created_us = document.create_time.as_ref().map(value::epoch_micros);
        Ok(Self { secret, created_us })
    }

    /// The id of the entry for a key of an actor: HMAC-SHA256 (RFC 2104), cut to a UUID. The keys of
    /// different actors never collide, because the length of the actor's name is part of the input.
    pub(in crate::store) fn id(&self, actor: &str, key: &str) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.secret));
        context.update(&(actor.len() as u64).to_le_bytes());
        context.update(actor.as_bytes());
        context.update(key.as_bytes());
        let tag = context.sign();
        let mut id = [0; 16];
        id.copy_from_slice(&tag.as_ref()[..16]);
        Builder::from_custom_bytes(id).into_uuid().to_string()
    }

    /// Whether an earlier version may have written the entry: it is older than the secret. Later
    /// entries under an id without a secret are not of the service.
    pub(in crate::store) fn is_older(&self, entry: &Document) -> bool {
        let created = entry.create_time.as_ref().map(value::epoch_micros);
        self.created_us.is_none_or(|since| created.is_some_and(|created| created < since))
    }

    /// The write that stores a new secret.
    pub(in crate::store) fn first_write(&self, store: &Store) -> Option<Write> {
        let fields = value::fields([(SECRET, value::bytes(self.secret.to_vec()))]);
        let name = store.db.name(STATE, AUDIT_KEY);
        self.created_us.is_none().then(|| write::create(name, fields))
    }
}

/// The id that earlier versions gave the entry for a key of an actor. Anyone can compute it.
pub(in crate::store) fn unkeyed_id(actor: &str, key: &str) -> String {
    Uuid::new_v5(&UNKEYED, format!("{actor}\n{key}").as_bytes()).to_string()
}

impl Store {
    /// The stored secret, or a new one that the transaction is to store.
    pub(in crate::store) async fn audit_key(&self, transaction: &Transaction) -> Result<AuditKey> {
        match self.db.get_in(STATE, AUDIT_KEY, transaction).await? {
            Some(document) => AuditKey::of(&document),
            None => Ok(AuditKey { secret: random_secret(), created_us: None }),
        }
    }

    /// Whether the secret can be read, if there is one.
    pub(in crate::store) async fn check_audit_key(&self) -> Result<()> {
        let found = self.db.get(STATE, AUDIT_KEY).await?;
        found.map_or(Ok(()), |document| AuditKey::of(&document).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(secret: u8) -> AuditKey {
        AuditKey { secret: [secret; SECRET_BYTES], created_us: None }
    }

    #[test]
    fn an_id_depends_on_the_secret_the_actor_and_the_key() {
        let id = with(1).id("ada", "k");
        assert_eq!(id, with(1).id("ada", "k"));
        for other in [with(2).id("ada", "k"), with(1).id("bob", "k"), with(1).id("ada", "l")] {
            assert_ne!(id, other);
        }
        assert_ne!(with(1).id("ab", "c"), with(1).id("a", "bc"));
        assert!(Uuid::parse_str(&id).is_ok());
    }

    #[test]
    fn neither_debug_output_nor_an_error_shows_the_secret() {
        assert_eq!(format!("{:?}", with(7)), "AuditKey { created_us: None, .. }");
        let fields = value::fields([(SECRET, value::string("hunter2"))]);
        let error = AuditKey::of(&Document { fields, ..Document::default() }).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
