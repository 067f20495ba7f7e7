import BatonWire
import CBaton
import Glibc
import LinuxOS

// What belongs to no handle.

/// Texts that live for ever, so that C may keep their pointers.
///
/// SAFETY: made once, never changed, never freed.
@safe private struct PermanentTexts: @unchecked Sendable {
  let version: UnsafePointer<CChar>
  let names: [Int32: UnsafePointer<CChar>]
  let sentences: [Int32: UnsafePointer<CChar>]

  static let all = PermanentTexts()

  private init() {
    unsafe version = Self.permanent(ProgramVersion.text)
    var names: [Int32: UnsafePointer<CChar>] = unsafe [:]
    var sentences: [Int32: UnsafePointer<CChar>] = unsafe [:]
    for refusal in Refusal.allCases {
      unsafe names[Int32(refusal.rawValue)] = Self.permanent(refusal.name)
      unsafe sentences[Int32(refusal.rawValue)] = Self.permanent(refusal.sentence)
    }
    unsafe self.names = names
    unsafe self.sentences = sentences
  }

  private static func permanent(_ text: String) -> UnsafePointer<CChar> {
    let bytes = text.utf8CString
    let pointer = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    for (index, byte) in bytes.enumerated() { unsafe (pointer + index).initialize(to: byte) }
    return unsafe UnsafePointer(pointer)
  }
}

@c @implementation
public func baton_version() -> UnsafePointer<CChar>? { unsafe PermanentTexts.all.version }

@c @implementation
public func baton_refusal_name(_ refusal: Int32) -> UnsafePointer<CChar>? {
  unsafe PermanentTexts.all.names[refusal]
}

@c @implementation
public func baton_refusal_sentence(_ refusal: Int32) -> UnsafePointer<CChar>? {
  unsafe PermanentTexts.all.sentences[refusal]
}

@c @implementation
public func baton_refusal_exit_status(_ refusal: Int32) -> Int32 {
  guard refusal != 0 else { return 0 }
  guard let known = UInt16(exactly: refusal).flatMap(Refusal.init(rawValue:)) else { return -EINVAL }
  return known.exitCode
}
