//! The door to the crate's layers for its own tests, fuzz targets and fixture generator: the feature `internals`.
//!
//! Without the feature every layer is private, and `lib.rs` exports the public interface. With it, layers are public, and so
//! are the fields and functions that are declared with the two macros below. Nothing behind the door is covered by the
//! crate's version.

/// Declares a struct whose fields are visible in the crate, and to its own tests.
macro_rules! internal_fields {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident $(<$lifetime:lifetime>)? {
            $($(#[$of_field:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        #[cfg(feature = "internals")]
        $(#[$attribute])*
        pub struct $name $(<$lifetime>)? {
            $($(#[$of_field])* pub $field: $type,)*
        }

        #[cfg(not(feature = "internals"))]
        $(#[$attribute])*
        pub struct $name $(<$lifetime>)? {
            $($(#[$of_field])* pub(crate) $field: $type,)*
        }
    };
}

/// Declares a function that is visible in the crate, and to its own tests.
macro_rules! internal_fn {
    ($(#[$attribute:meta])* fn $($rest:tt)*) => {
        #[cfg(feature = "internals")]
        $(#[$attribute])*
        pub fn $($rest)*

        #[cfg(not(feature = "internals"))]
        $(#[$attribute])*
        pub(crate) fn $($rest)*
    };
}

pub(crate) use {internal_fields, internal_fn};
