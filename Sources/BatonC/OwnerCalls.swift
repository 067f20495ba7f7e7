import Baton
import BatonWire
public import CBaton
import Glibc
import LinuxOS
import RemoteMigration

// The owner's calls.

@c @implementation
public func baton_vmm_running(
  _ vmm: OpaquePointer?, _ guest: UnsafePointer<baton_guest>?, _ firstInstruction: UInt64
) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let guest = unsafe try CGuest(guest)
    try handle.running(guest.manifest, firstInstruction: firstInstruction)
    return 0
  }
}

@c @implementation
public func baton_vmm_offer(_ vmm: OpaquePointer?, _ guest: UnsafePointer<baton_guest>?) -> Int32 {
  unsafe Handle.callVoid(vmm) { participant in
    let guest = unsafe try CGuest(guest)
    try participant.offer(
      guest.manifest, ram: guest.ram, vm: guest.vm, named: guest.named, takeBackVM: guest.takeBackVM)
  }
}

@c @implementation
public func baton_vmm_report(
  _ vmm: OpaquePointer?, _ checks: UnsafePointer<baton_check>?, _ count: Int
) -> Int32 {
  unsafe Handle.callVoid(vmm) { participant in
    guard let count = UInt32(exactly: count) else {
      throw Participant.Failure.unusable("the number of checks makes no sense")
    }
    let given = unsafe try Borrowed.list(checks, count, maximum: 64, "the checks")
    let list = unsafe try given.map { check in
      guard let verdict = UInt8(exactly: unsafe check.verdict).flatMap(PreflightCheck.Verdict.init(rawValue:))
      else {
        throw Participant.Failure.unusable("a check's verdict makes no sense")
      }
      return PreflightCheck(
        name: unsafe try Borrowed.text(check.name, maximum: 64, "a check's name"), verdict: verdict,
        detail: unsafe try Borrowed.text(check.detail, maximum: 512, "a check's detail"),
        remedy: unsafe check.remedy == nil
          ? "" : try Borrowed.text(check.remedy, maximum: 512, "a check's remedy"))
    }
    try participant.report(list)
  }
}

@c @implementation
public func baton_vmm_park(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    // Custody would have to wait for it, perhaps for longer than this process has.
    try handle.giveUpMigration("the guest's VMM asked for custody")
    try handle.participant.park()
    return 0
  }
}

@c @implementation
public func baton_vmm_froze(_ vmm: OpaquePointer?) -> Int32 { unsafe Handle.callVoid(vmm) { try $0.froze() } }

@c @implementation
public func baton_vmm_gave_up_context(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.callVoid(vmm) { try $0.gaveUpContext() }
}

@c @implementation
public func baton_vmm_resume(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.callVoid(vmm) { try $0.resume() }
}

@c @implementation
public func baton_vmm_stage(
  _ vmm: OpaquePointer?, _ state: UnsafeRawPointer?, _ size: Int, _ token: UnsafePointer<UInt64>?,
  _ lastInstruction: UInt64
) -> Int32 {
  unsafe Handle.callVoid(vmm) { participant in
    let bytes = unsafe try Borrowed.bytes(state, size, maximum: StateEnvelope.maximumState, "the state")
    var baton: [UInt8] = []
    defer { SecureBytes.wipe(&baton) }
    if let token = unsafe token {
      unsafe withUnsafeBytes(of: token.pointee.littleEndian) { unsafe baton = Array($0) }
    }
    try participant.stage(state: bytes, baton: baton, lastInstruction: lastInstruction)
  }
}

@c @implementation
public func baton_vmm_took_back(_ vmm: OpaquePointer?, _ outcome: Int32) -> Int32 {
  unsafe Handle.callVoid(vmm) { participant in
    guard outcome == 0 || outcome == 1 else {
      throw Participant.Failure.unusable("the outcome is 1 for taken back or 0 for used")
    }
    try participant.tookBack(outcome == 1)
  }
}

@c @implementation
public func baton_vmm_end(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    try handle.giveUpMigration("the guest's VMM was asked to stop")
    try handle.participant.end()
    return 0
  }
}
