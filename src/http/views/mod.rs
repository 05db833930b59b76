//! What the API shows: types of its own, so that the stored form and the API change separately.
//!
//! Each converts from the type that the store or a job returns, by destructuring it: a field that
//! is added there does not compile until it is shown here or left out on purpose.

pub mod config;
pub mod experiments;
pub mod flags;
pub mod health;
pub mod policies;
pub mod records;

/// Converts an enum into one with the same variants.
macro_rules! same_variants {
    ($from:ty => $to:ty { $($variant:ident),+ $(,)? }) => {
        impl From<$from> for $to {
            fn from(value: $from) -> Self {
                match value {
                    $(<$from>::$variant => Self::$variant),+
                }
            }
        }
    };
}

/// Converts a struct into one with the same fields, each of which converts by itself.
macro_rules! same_fields {
    ($($from:ident)::+ => $to:ident { $($field:ident),+ $(,)? }) => {
        impl From<$($from)::+> for $to {
            fn from(value: $($from)::+) -> Self {
                let $($from)::+ { $($field),+ } = value;
                Self { $($field: $field.into()),+ }
            }
        }
    };
}

pub(in crate::http) use {same_fields, same_variants};
