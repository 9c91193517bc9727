//! Where an agent listens, and who does it for it.

use super::PortSetting;
use super::error::Problem;
use super::read::{Fields, Found, Reader, Shape};
use super::units::{self, Refusal};

/// Reads `port` and `handover`, which needs a port to listen on. Where nothing is said of a port, it is that of `usual`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    usual: Option<Found<PortSetting>>,
) -> (Option<Found<PortSetting>>, bool) {
    let shape = Shape::new("auto, socket or a port", &port_setting);
    let port = reader.value_at(fields, "port", &shape).or(usual);
    let shape = Shape::new("true or false", &units::truth);
    let handover = reader.value_at(fields, "handover", &shape);
    let handover = handover.is_some_and(|found| found.value);
    let hint = match port.as_ref().map(|found| found.value) {
        Some(PortSetting::Auto | PortSetting::Fixed(_)) => return (port, handover),
        Some(PortSetting::Socket) => "only the listener of a port can be handed over: port: auto",
        None => "add port: auto to this agent",
    };
    if let Some(field) = fields.get("handover").filter(|_| handover) {
        let problem = Problem::Unexpected {
            expected: "an agent with a port to listen on".to_owned(),
            got: "true".to_owned(),
            hint: Some(hint.to_owned()),
        };
        reader.note(field.place, &field.way, problem);
    }
    (port, handover)
}

fn port_setting(text: &str) -> Result<PortSetting, Refusal> {
    match text {
        "auto" => Ok(PortSetting::Auto),
        "socket" => Ok(PortSetting::Socket),
        _ => units::port(text)
            .map(PortSetting::Fixed)
            .map_err(|_| Refusal::new("auto, socket or a port from 1 to 65535")),
    }
}
