import SEVABI
import SEVModel
import Testing

/// A pointer of a request, and what the kernel does with it.
struct BadAddressPointer: Sendable {
  enum Use: Sendable {
    /// Copied in.
    case input
    /// Copied out when all is done; what was done stays done if that fails.
    case output
    /// Copied in, and out when all is done.
    case both
    /// Copied in, and out before it is too late: a failure is unwound.
    case unwound
    /// Pinned, and only read.
    case pinnedForReading
    /// Pinned for writing.
    case pinnedForWriting
  }

  let name: String
  let use: Use
  let byteCount: UInt64
  /// Whether it may lie on two pages.
  var canCross = true

  /// `struct kvm_sev_cmd`, which is written back at the very end.
  static let block = BadAddressPointer(name: "block", use: .both, byteCount: 24)

  static func structure(_ use: Use, _ byteCount: UInt64) -> BadAddressPointer {
    BadAddressPointer(name: "struct", use: use, byteCount: byteCount)
  }
  static func input(_ name: String, _ byteCount: UInt64) -> BadAddressPointer {
    BadAddressPointer(name: name, use: .input, byteCount: byteCount)
  }
  static func output(_ name: String, _ byteCount: UInt64) -> BadAddressPointer {
    BadAddressPointer(name: name, use: .output, byteCount: byteCount)
  }
  /// Guest memory that must not leave its page.
  static func page(_ use: Use) -> BadAddressPointer {
    BadAddressPointer(name: "guest memory", use: use, byteCount: 64, canCross: false)
  }
}

/// How memory is bad.
enum BadAddressFault: CaseIterable {
  case unmapped
  /// An address that no process has.
  case kernelHalf
  case readOnly
  /// The range begins on a good page and ends on one that is not mapped.
  case endsUnmapped
  /// The range begins on a good page and ends on a read-only one.
  case endsReadOnly

  var isReadable: Bool {
    switch self {
    case .unmapped, .kernelHalf, .endsUnmapped: false
    case .readOnly, .endsReadOnly: true
    }
  }

  var crosses: Bool {
    switch self {
    case .endsUnmapped, .endsReadOnly: true
    case .unmapped, .kernelHalf, .readOnly: false
    }
  }
}

/// A request, the state in which it is made, and its pointers.
struct BadAddressScenario: Sendable, CustomTestStringConvertible {
  let name: String
  var profile = KernelProfile.rfc
  /// How it ends when all memory is good.
  var ending = Ending.ok
  let pointers: [BadAddressPointer]
  let prepare: @Sendable (inout BadAddressWorld) -> Void
  /// Makes the request with the pointers at these addresses.
  let issue: @Sendable (inout BadAddressWorld, [UInt64]) -> Ending

  var testDescription: String { name }

  /// A command; its pointers are the block, its struct if it has one, and others.
  ///
  /// - Parameters:
  ///   - structure: What the kernel does with the struct; nil for a command without one.
  ///   - contents: What the buffers behind the struct hold, in their order.
  ///   - bytes: The struct for the addresses of those buffers.
  static func command(
    _ name: String, _ id: UInt32, profile: KernelProfile = .rfc, ending: Ending = .ok,
    structure: BadAddressPointer? = nil, buffers: [BadAddressPointer] = [],
    prepare: @escaping @Sendable (inout BadAddressWorld) -> Void,
    contents: @escaping @Sendable (BadAddressWorld) -> [[UInt8]] = { _ in [] },
    bytes: @escaping @Sendable (BadAddressWorld, [UInt64]) -> [UInt8] = { _, _ in [] }
  ) -> BadAddressScenario {
    BadAddressScenario(
      name: name, profile: profile, ending: ending,
      pointers: [.block] + (structure.map { [$0] } ?? []) + buffers, prepare: prepare
    ) { world, addresses in
      let buffers = Array(addresses.dropFirst(structure == nil ? 1 : 2))
      for (content, address) in zip(contents(world), buffers) { world.memory.store(content, at: address) }
      return world.issue(
        id, world.machine, block: addresses[0], structure: structure == nil ? 0 : addresses[1],
        bytes(world, buffers))
    }
  }

  /// A request with a struct of its own instead of a command block.
  static func request(
    _ name: String, profile: KernelProfile = .rfc, pointers: [BadAddressPointer],
    prepare: @escaping @Sendable (inout BadAddressWorld) -> Void,
    bytes: @escaping @Sendable ([UInt64]) -> [UInt8],
    step: @escaping @Sendable (inout BadAddressWorld, UInt64) -> Step
  ) -> BadAddressScenario {
    BadAddressScenario(
      name: name, profile: profile, ending: .quiet(nil), pointers: pointers, prepare: prepare
    ) { world, addresses in
      world.memory.store(bytes(addresses), at: addresses[0])
      let step = step(&world, addresses[0])
      return .quiet(world.host.run(step, in: &world.memory))
    }
  }
}

extension Ending {
  /// The firmware was not called.
  static func quiet(_ error: KernelError?) -> Ending { Ending(error: error, firmware: .neverCalled) }
}
