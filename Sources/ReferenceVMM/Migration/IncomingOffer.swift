import BatonWire
import MigrationCore
import RemoteMigration

/// What a target says to a guest that is offered, before it makes anything for it.
struct IncomingOffer {
  private let options: VMMOptions
  private let kind: MachineKind

  init(_ options: VMMOptions, _ kind: MachineKind) {
    self.options = options
    self.kind = kind
  }

  func check(_ preamble: Preamble, _ offer: MachineOffer) throws(MigrationFailure) {
    guard preamble.guest == options.guest else {
      throw MigrationFailure(
        .targetNotWaiting, "this VMM waits for guest \(options.guest), not for \(preamble.guest)")
    }
    try checkSize(offer.manifest)
    guard let facts = MachineFacts(offer.facts) else {
      throw MigrationFailure(.badManifest, "the source's VMM is no baton-vmm, or a newer one")
    }
    guard facts.kind == kind else {
      throw MigrationFailure(
        .stateUnreadable, "the guest has \(facts.kind) vCPUs, and this VMM has \(kind) ones")
    }
    try checkFormat(offer.manifest.format)
    guard (offer.kind == .none) == (options.sev == .none) else {
      throw MigrationFailure(
        .badManifest,
        offer.kind == .none
          ? "the guest is no SEV guest, and this VMM was started for one"
          : "the guest is a SEV guest, and this VMM was started for one without SEV")
    }
    guard offer.parties.isEmpty else {
      throw MigrationFailure(
        .agreementMissing, "not all of host, firmware and guest agree at the source to the migration")
    }
  }

  private func checkSize(_ manifest: Manifest) throws(MigrationFailure) {
    let configuration = options.configuration
    guard manifest.regions == configuration.ramRegions,
      Int(manifest.vcpuCount) == configuration.vcpuCount
    else {
      let isRoom = manifest.ramByteCount <= UInt64(configuration.ramBytes)
      throw MigrationFailure(
        isRoom ? .badManifest : .noRoom,
        "the guest has \(manifest.ramByteCount >> 20) MiB of RAM and \(manifest.vcpuCount) vCPUs, this VMM was "
          + "started for \(configuration.ramBytes >> 20) MiB and \(configuration.vcpuCount)")
    }
  }

  private func checkFormat(_ format: StateFormat) throws(MigrationFailure) {
    guard format.name == GuestInstance.formatName,
      format.version <= options.stateFormat,
      MachineStateFormat.isReadable(format: format.version, features: format.features)
    else {
      throw MigrationFailure(
        .stateUnreadable,
        "the source writes \(format.name) version \(format.version) with features "
          + "0x\(String(format.features, radix: 16)), this VMM reads \(GuestInstance.formatName) version "
          + "\(MachineStateFormat.oldest) to \(options.stateFormat)")
    }
  }
}
