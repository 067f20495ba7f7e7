import Baton
import BatonWire
public import CBaton
import Glibc
import LinuxOS

// What a successor is offered, and its answers.

/// The manifest of an offer that is there.
private func offered(_ participant: Participant) throws -> Manifest {
  switch participant.phase {
  case .offered, .prepared, .claiming, .received, .permitted:
    if let manifest = participant.manifest { return manifest }
    throw Participant.Failure.absent("an offer")
  // Of a guest that is offered by another host there is only a description.
  case .awaiting, .arriving, .arrived:
    if let manifest = participant.manifest { return manifest }
    throw Participant.Failure.outOfTurn(participant.phase)
  case .new, .attached, .running, .frozen, .staged, .takingBack, .tookBack, .returned, .leaving, .departing,
    .departed, .over:
    throw Participant.Failure.outOfTurn(participant.phase)
  }
}

@c @implementation
public func baton_vmm_offer_get(
  _ vmm: OpaquePointer?, _ offer: UnsafeMutablePointer<baton_offer>?
) -> Int32 {
  unsafe Handle.callVoid(vmm) { participant in
    let manifest = try offered(participant)
    var told = baton_offer()
    told.handoff = participant.handoff
    told.way = UInt32(manifest.way.rawValue)
    told.vcpu_count = UInt32(manifest.vcpuCount)
    told.ram_count = UInt32(manifest.files.count)
    told.region_count = UInt32(manifest.regions.count)
    told.named_count = UInt32(manifest.names.count)
    told.has_vm = manifest.hasVM && manifest.way != .move ? 1 : 0
    told.is_stopped = participant.isGuestStopped ? 1 : 0
    told.details_size = UInt32(manifest.details.count)
    told.format_features = manifest.format.features
    told.format_version = manifest.format.version
    let size = unsafe offer.map { unsafe $0.pointee.struct_size } ?? 0
    unsafe try Borrowed.store(told, to: offer, size: size, smallest: MemoryLayout<baton_offer>.size)
  }
}

@c @implementation
public func baton_vmm_offer_region(
  _ vmm: OpaquePointer?, _ index: UInt32, _ region: UnsafeMutablePointer<baton_region>?
) -> Int32 {
  unsafe Handle.callVoid(vmm) { participant in
    let regions = try offered(participant).regions
    guard let region = unsafe region else {
      throw Participant.Failure.unusable("there is nowhere to copy to")
    }
    guard regions.indices.contains(Int(index)) else { throw Participant.Failure.absent("this RAM region") }
    let found = regions[Int(index)]
    unsafe region.pointee = baton_region(
      guest_physical_address: found.guestPhysicalAddress, byte_count: found.byteCount,
      file_offset: found.fileOffset, file: UInt32(found.file), reserved: 0)
  }
}

@c @implementation
public func baton_vmm_offer_name(
  _ vmm: OpaquePointer?, _ index: UInt32, _ name: UnsafeMutablePointer<CChar>?, _ size: Int
) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let names = try offered(handle.participant).names
    guard names.indices.contains(Int(index)) else { throw Participant.Failure.absent("this name") }
    return unsafe try Borrowed.copy(names[Int(index)], to: name, size: size)
  }
}

@c @implementation
public func baton_vmm_offer_details(
  _ vmm: OpaquePointer?, _ details: UnsafeMutableRawPointer?, _ size: Int
) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    Int32(unsafe try Borrowed.copy(offered(handle.participant).details[...], to: details, size: size))
  }
}

@c @implementation
public func baton_vmm_take_ram(_ vmm: OpaquePointer?, _ index: UInt32) -> Int32 {
  unsafe Handle.callInt(vmm) { try $0.participant.takeRAM(Int(index)).release() }
}

@c @implementation
public func baton_vmm_take_named(_ vmm: OpaquePointer?, _ name: UnsafePointer<CChar>?) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let name = unsafe try Borrowed.text(name, maximum: 128, "the name")
    return try handle.participant.takeNamed(name).release()
  }
}

@c @implementation
public func baton_vmm_take_vm(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.callInt(vmm) { try $0.participant.takeVM().release() }
}

@c @implementation
public func baton_vmm_ready(_ vmm: OpaquePointer?, _ vm: Int32) -> Int32 {
  unsafe Handle.callVoid(vmm) { try $0.ready(vm: vm < 0 ? nil : vm) }
}

@c @implementation
public func baton_vmm_decline(_ vmm: OpaquePointer?, _ text: UnsafePointer<CChar>?) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let text = unsafe try Borrowed.beginning(text, maximum: 512, "the reason")
    if let coming = handle.coming {
      try coming.decline(text)
    } else if let leaving = handle.leaving, leaving.isAsked {
      try leaving.decline(text)
    } else {
      try handle.participant.decline(text)
    }
    return 0
  }
}

// MARK: A claim

@c @implementation
public func baton_vmm_claim_state(
  _ vmm: OpaquePointer?, _ state: UnsafeMutableRawPointer?, _ size: Int
) -> Int64 {
  unsafe Handle.call(vmm) { handle in
    guard let bytes = handle.coming?.state ?? handle.participant.claimedState else {
      throw Participant.Failure.outOfTurn(handle.participant.phase)
    }
    return unsafe try Borrowed.copy(bytes, to: state, size: size)
  }
}

@c @implementation
public func baton_vmm_claim_token(_ vmm: OpaquePointer?, _ token: UnsafeMutablePointer<UInt64>?) -> Int32 {
  unsafe Handle.callVoid(vmm) { participant in
    guard let bytes = participant.claimedBaton else { throw Participant.Failure.outOfTurn(participant.phase) }
    guard let token = unsafe token else { throw Participant.Failure.unusable("there is nowhere to copy to") }
    unsafe token.pointee = 0
    for (index, byte) in bytes.enumerated() { unsafe token.pointee |= UInt64(byte) << (8 * UInt64(index)) }
  }
}

@c @implementation
public func baton_vmm_context_vm(_ vmm: OpaquePointer?, _ index: UInt32) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let numbers = handle.participant.contextVMs
    guard numbers.indices.contains(Int(index)) else { throw Participant.Failure.absent("such a VM") }
    return numbers[Int(index)]
  }
}

@c @implementation
public func baton_vmm_received(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    if let coming = handle.coming { try coming.received() } else { try handle.participant.received() }
    return 0
  }
}

@c @implementation
public func baton_vmm_found_used(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.callVoid(vmm) { try $0.foundUsed() }
}

@c @implementation
public func baton_vmm_give_back(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.callVoid(vmm) { try $0.giveBack() }
}
