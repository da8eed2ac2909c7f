//! JSON Schemas of what is written, made from the Rust types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::json;

use super::{Kind, VERSION};

/// The schema of results of one kind, which no file of another kind or format satisfies.
pub(crate) fn of_results<T: JsonSchema>(kind: Kind) -> Schema {
    let mut schema = of::<T>();
    for (name, value) in [("kind", json!(kind.name())), ("version", json!(VERSION))] {
        if let Some(property) = schema.pointer_mut(&format!("/properties/{name}")) {
            *property = json!({
                "description": property.get("description"),
                "const": value,
            });
        }
    }
    schema
}

/// The schema of anything.
pub(crate) fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}
