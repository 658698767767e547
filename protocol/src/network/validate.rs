//! The checks a network file must pass; each failure names the field, the value and the fix.

use std::collections::BTreeSet;

use super::{MAX_BOND, MAX_BOOT_NODES, MAX_MEMBERS, Member, NetworkError, NetworkFile, NetworkParameters, Role};

const MAX_NAME: usize = 32;
const MAX_ADDRESS: usize = 256;

pub(super) fn check(file: &NetworkFile) -> Result<(), NetworkError> {
    check_name("name", &file.name)?;
    check_boot(&file.boot)?;
    check_parameters(&file.parameters)?;
    check_registry(&file.registry)?;
    check_seats(file)
}

fn check_name(field: &str, name: &str) -> Result<(), NetworkError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        let fix = format!("use 1 to {MAX_NAME} of the characters a-z 0-9 -");
        return Err(NetworkError::invalid(field, format!("{name:?}"), fix));
    }
    Ok(())
}

fn check_boot(boot: &[String]) -> Result<(), NetworkError> {
    if boot.len() > MAX_BOOT_NODES {
        return Err(NetworkError::invalid("boot", boot.len(), format!("name at most {MAX_BOOT_NODES} boot nodes")));
    }
    for (index, address) in boot.iter().enumerate() {
        if !address.starts_with('/') || !address.contains("/p2p/") || address.len() > MAX_ADDRESS {
            let fix = "use a multiaddress with the node's peer id, e.g. /ip4/127.0.0.1/udp/9001/quic-v1/p2p/12D3KooW…";
            return Err(NetworkError::invalid(format!("boot[{index}]"), format!("{address:?}"), fix));
        }
    }
    Ok(())
}

fn check_parameters(parameters: &NetworkParameters) -> Result<(), NetworkError> {
    for ((name, value), (least, most)) in parameters.entries().into_iter().zip(NetworkParameters::BOUNDS) {
        if !(least..=most).contains(&value) {
            return Err(NetworkError::invalid(format!("parameters.{name}"), value, format!("use {least} to {most}")));
        }
    }
    let order = parameters.order;
    if order.quorum > order.seats || u32::from(order.quorum) * 2 <= u32::from(order.seats) {
        let (least, most) = (order.seats / 2 + 1, order.seats);
        let fix = format!("with {most} seats use {least} to {most}: two quorums must share a seat");
        return Err(NetworkError::invalid("parameters.order.quorum", order.quorum, fix));
    }
    Ok(())
}

fn check_registry(registry: &[Member]) -> Result<(), NetworkError> {
    if registry.len() > MAX_MEMBERS {
        let fix = format!("register at most {MAX_MEMBERS} members");
        return Err(NetworkError::invalid("registry", registry.len(), fix));
    }
    let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for (index, member) in registry.iter().enumerate() {
        let field = |name: &str| format!("registry[{index}].{name}");
        check_name(&field("name"), &member.name)?;
        if !names.insert(member.name.as_str()) {
            return Err(NetworkError::invalid(field("name"), &member.name, "give each member a name of its own"));
        }
        if !keys.insert(member.key) {
            return Err(NetworkError::invalid(field("key"), member.key, "register each key once"));
        }
        if member.bond == 0 || member.bond > MAX_BOND {
            return Err(NetworkError::invalid(field("bond"), member.bond, format!("use 1 to {MAX_BOND}")));
        }
        if member.roles.is_empty() {
            let fix = "name at least one of scheduler, compute, messenger, gateway";
            return Err(NetworkError::invalid(field("roles"), "[]", fix));
        }
    }
    Ok(())
}

/// Enough owners for the seats, and somebody for each role that a process cannot live without.
fn check_seats(file: &NetworkFile) -> Result<(), NetworkError> {
    for role in [Role::Scheduler, Role::Compute, Role::Messenger] {
        if !file.registry.iter().any(|member| member.roles.contains(&role)) {
            let fix = format!("register at least one member with roles = [\"{role}\"]");
            return Err(NetworkError::invalid("registry", format!("no {role}"), fix));
        }
    }
    let schedulers = file.registry.iter().filter(|member| member.roles.contains(&Role::Scheduler));
    let owners: BTreeSet<_> = schedulers.map(Member::bond_owner).collect();
    let seats = file.parameters.order.seats;
    if owners.len() < usize::from(seats) {
        let fix = format!(
            "only {} different owners have schedulers and each may hold one seat: use fewer seats or register more",
            owners.len()
        );
        return Err(NetworkError::invalid("parameters.order.seats", seats, fix));
    }
    Ok(())
}
