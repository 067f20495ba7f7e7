/// How the guest's context moves.
public enum Way: UInt8, Hashable, Sendable, CaseIterable {
  /// RFC LOCAL_SEND and LOCAL_RECEIVE with a one-time token.
  case token = 1
  /// `KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM`.
  case move = 2
  /// A plain guest: nothing in the kernel arbitrates.
  case none = 3
}

/// One range of guest RAM and the part of a memfd behind it.
public struct RAMRegion: Hashable, Sendable {
  public var guestPhysicalAddress: UInt64
  public var byteCount: UInt64
  /// Which of the manifest's files.
  public var file: UInt16
  /// Where in the file, in bytes.
  public var fileOffset: UInt64

  public init(guestPhysicalAddress: UInt64, byteCount: UInt64, file: UInt16, fileOffset: UInt64) {
    self.guestPhysicalAddress = guestPhysicalAddress
    self.byteCount = byteCount
    self.file = file
    self.fileOffset = fileOffset
  }
}

/// A memfd of guest RAM as its owner knows it; who maps it checks that it is this one.
public struct RAMFile: Hashable, Sendable {
  public var device: UInt64
  public var inode: UInt64
  public var byteCount: UInt64

  public init(device: UInt64, inode: UInt64, byteCount: UInt64) {
    self.device = device
    self.inode = inode
    self.byteCount = byteCount
  }
}

/// What travels with a guest: its RAM, the VMM's own named descriptors, and how they fit together.
///
/// The descriptors of an offer come in this order: the RAM files, the state memfd, the source's VM
/// (if ``hasVM``), the named descriptors, and with way `move` the VM into which the source would take back.
public struct Manifest: Hashable, Sendable {
  public static let maximumFiles = 64
  public static let maximumRegions = 256
  public static let maximumNamedDescriptors = 3_900

  public var way: Way
  public var vcpuCount: UInt16
  public var files: [RAMFile]
  public var regions: [RAMRegion]
  /// Whether the source's VM descriptor comes along, so that the source may die before `received`. With way
  /// `move` it does: it is the baton.
  public var hasVM: Bool
  /// Names of the VMM's own descriptors (TAP, vhost, disks, eventfds), in their order.
  public var names: [String]
  /// The form in which the source will write its state.
  public var format: StateFormat
  /// Facts of the VMM's own for its successor, at most 16 KiB; the registry does not read them.
  public var details: [UInt8]

  public init(
    way: Way, vcpuCount: UInt16, files: [RAMFile], regions: [RAMRegion], hasVM: Bool,
    names: [String], format: StateFormat, details: [UInt8] = []
  ) {
    self.way = way
    self.vcpuCount = vcpuCount
    self.files = files
    self.regions = regions
    self.hasVM = hasVM
    self.names = names
    self.format = format
    self.details = details
  }

  /// How many descriptors an offer of this manifest carries.
  public var descriptorCount: Int { files.count + 1 + (hasVM ? 1 : 0) + names.count }
  /// All guest RAM, in bytes.
  public var ramByteCount: UInt64 { regions.reduce(0) { $0 &+ $1.byteCount } }

  /// Why a manifest cannot be accepted.
  public enum Problem: Error, Hashable, Sendable, CustomStringConvertible {
    case noRAM
    case tooMany(String)
    case emptyRegion(Int)
    case unknownFile(region: Int)
    case unaligned(region: Int)
    case overflow(region: Int)
    case beyondFile(region: Int)
    case overlap(Int, Int)
    case sameFileTwice(Int, Int)
    case badName(Int)
    case nameTwice(String)
    case moveWithoutVM

    public var description: String {
      switch self {
      case .noRAM: "the manifest has no guest RAM"
      case .tooMany(let what): "the manifest has too many \(what)"
      case .emptyRegion(let index): "RAM region \(index) is empty"
      case .unknownFile(let index): "RAM region \(index) names a file that is not in the manifest"
      case .unaligned(let index): "RAM region \(index) is not aligned to 4,096 bytes"
      case .overflow(let index): "RAM region \(index) ends beyond 2^64"
      case .beyondFile(let index): "RAM region \(index) ends beyond its file"
      case .overlap(let a, let b): "RAM regions \(a) and \(b) overlap"
      case .sameFileTwice(let a, let b): "RAM files \(a) and \(b) are the same memfd"
      case .badName(let index):
        "the name of descriptor \(index) is empty, too long or has bytes outside of printable ASCII"
      case .nameTwice(let name): "two descriptors have the name \(name)"
      case .moveWithoutVM: "the guest is to be moved out of a VM that does not come along"
      }
    }
  }

  /// Checks counts, bounds, alignment and overlap.
  ///
  /// - Complexity: O(n log n) in the number of regions.
  public func validate() throws(Problem) {
    guard !regions.isEmpty, !files.isEmpty else { throw .noRAM }
    guard way != .move || hasVM else { throw .moveWithoutVM }
    guard files.count <= Self.maximumFiles else { throw .tooMany("files") }
    guard regions.count <= Self.maximumRegions else { throw .tooMany("regions") }
    guard names.count <= Self.maximumNamedDescriptors else { throw .tooMany("named descriptors") }
    for (index, region) in regions.enumerated() {
      guard region.byteCount > 0 else { throw .emptyRegion(index) }
      guard (region.guestPhysicalAddress | region.byteCount | region.fileOffset) & 0xFFF == 0 else {
        throw .unaligned(region: index)
      }
      guard Int(region.file) < files.count else { throw .unknownFile(region: index) }
      let guest = region.guestPhysicalAddress.addingReportingOverflow(region.byteCount)
      let file = region.fileOffset.addingReportingOverflow(region.byteCount)
      guard !guest.overflow, !file.overflow else { throw .overflow(region: index) }
      guard file.partialValue <= files[Int(region.file)].byteCount else {
        throw .beyondFile(region: index)
      }
    }
    try Self.checkOverlap(regions) { $0.guestPhysicalAddress }
    for file in files.indices {
      try Self.checkOverlap(regions.filter { Int($0.file) == file }) { $0.fileOffset }
    }
    for a in files.indices {
      for b in files.indices.dropFirst(a + 1)
      where files[a].inode == files[b].inode && files[a].device == files[b].device {
        throw .sameFileTwice(a, b)
      }
    }
    var seen: Set<String> = []
    for (index, name) in names.enumerated() {
      guard (1...128).contains(name.utf8.count), name.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
      else { throw .badName(index) }
      guard seen.insert(name).inserted else { throw .nameTwice(name) }
    }
  }

  private static func checkOverlap(
    _ regions: [RAMRegion], by start: (RAMRegion) -> UInt64
  ) throws(Problem) {
    let order = regions.indices.sorted { start(regions[$0]) < start(regions[$1]) }
    for (a, b) in zip(order, order.dropFirst())
    where start(regions[a]) + regions[a].byteCount > start(regions[b]) {
      throw .overlap(min(a, b), max(a, b))
    }
  }
}
