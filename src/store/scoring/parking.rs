//! Where counts are parked, and what is said of the documents that cannot be read.

use crate::store::collection::STATE;

/// Where the counts of a document that cannot be read are parked.
#[derive(Clone, Debug)]
pub struct Parking {
    /// Why the document cannot be read.
    pub(super) why: String,
    /// The document in which its counts are parked.
    pub(super) id: String,
    /// The parked documents that cannot be read either.
    pub(super) damaged: Vec<Parked>,
}

impl Parking {
    /// The document that cannot be read, and the parked documents that cannot be read either.
    pub(super) fn damage(&self, id: &str) -> Vec<Parked> {
        let document = Parked { document: format!("{STATE}/{id}"), why: self.why.clone() };
        std::iter::once(document).chain(self.damaged.iter().cloned()).collect()
    }
}

/// A document that cannot be read, for which counts are parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The document, as `ops_state/series|router:gpt-5`.
    pub document: String,
    pub why: String,
}

impl std::fmt::Display for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { document, why } = self;
        write!(f, "{document} cannot be read ({why}); what is counted meanwhile is parked")
    }
}
