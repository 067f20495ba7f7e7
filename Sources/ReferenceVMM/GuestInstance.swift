import Baton
import BatonWire
import LinuxOS
import SEVDevice

/// Everything of a guest that is in this process: RAM, devices, vCPUs, SEV context.
final class GuestInstance {
  let options: VMMOptions
  let kind: MachineKind
  let ram: OwnedDescriptor
  let mapping: SharedMapping
  let devices: MachineDevices
  /// The VMM user's own descriptors, with their names.
  let named: DescriptorList
  let names: [String]
  private(set) var machine: any Machine
  let sev: SEVContext?
  /// What a SEV guest said about its memory; kept by whichever machine runs it.
  let memoryStatus: MemoryStatus?
  /// What a misbehaving successor copies the guest's RAM from.
  private var original: SharedMapping?
  /// The machine made ahead, into which a guest is taken back (ways `token` and `move`).
  private var spare: (any Machine)?

  static let formatName = "baton-vmm"

  private init(
    _ options: VMMOptions, kind: MachineKind, ram: consuming OwnedDescriptor, mapping: SharedMapping,
    devices: MachineDevices, named: consuming DescriptorList, names: [String], machine: any Machine,
    sev: SEVContext?, memoryStatus: MemoryStatus?
  ) {
    self.memoryStatus = memoryStatus
    self.options = options
    self.kind = kind
    self.ram = ram
    self.mapping = mapping
    self.devices = devices
    self.named = named
    self.names = names
    self.machine = machine
    self.sev = sev
  }

  /// Loads a fresh guest. Nothing runs yet.
  static func fresh(_ options: VMMOptions, kind: MachineKind) throws -> GuestInstance {
    let ram = try freshRAM(options)
    let mapping = try SharedMapping(ram, byteCount: options.configuration.ramBytes)
    try mapping.keepPrivate()
    let disk = try options.diskPath.map { path throws(SystemError) in try Disk(path: path) }
    let console = try options.console.map { console throws(SystemError) in
      Console(try open(console))
    }
    let devices = MachineDevices(console: console ?? Console(), disk: disk)
    let named = try DescriptorList(duplicating: options.named.map(\.number))
    let sev = options.sev == .model ? try SEVContext.fresh(mapping, options) : nil
    let view = try privateView(sev, mapping, ram, options)
    let memoryStatus = sev == nil ? nil : try options.freshMemoryStatus()
    let machine = try make(
      kind, mapping, view, memoryStatus, options.configuration, devices, isFresh: true)
    try sev?.launch()
    return GuestInstance(
      options, kind: kind, ram: ram, mapping: mapping, devices: devices, named: named,
      names: options.named.map(\.name), machine: machine, sev: sev, memoryStatus: memoryStatus)
  }

  /// Makes everything for a guest that comes from another host. Writes no guest RAM.
  ///
  /// - Parameter memory: Of nothing but zeros.
  static func arriving(
    _ options: VMMOptions, kind: MachineKind, hasEncryptedState: Bool, in memory: IncomingMemory
  ) throws -> GuestInstance {
    let ram = try memory.ram.duplicate()
    let mapping = memory.mapping
    try mapping.keepPrivate()
    let console = try options.console.map { console throws(SystemError) in
      Console(try open(console))
    }
    let devices = MachineDevices(console: console ?? Console())
    let sev =
      options.sev == .model
      ? try SEVContext.incoming(mapping, hasEncryptedState: hasEncryptedState, options) : nil
    let view = try privateView(sev, mapping, ram, options)
    let memoryStatus = sev == nil ? nil : MemoryStatus(isOffered: true, saysReady: false)
    let machine = try make(
      kind, mapping, view, memoryStatus, options.configuration, devices, isFresh: false)
    return GuestInstance(
      options, kind: kind, ram: ram, mapping: mapping, devices: devices, named: DescriptorList(), names: [],
      machine: machine, sev: sev, memoryStatus: memoryStatus)
  }

  static func freshRAM(_ options: VMMOptions) throws(SystemError) -> OwnedDescriptor {
    let ram = try Memfd.create(
      name: "baton-ram", byteCount: UInt64(options.configuration.ramBytes), pages: options.pages)
    try ram.addSeals(.ram)
    return ram
  }

  /// Makes everything for a guest that is not here yet. Writes no guest RAM.
  ///
  /// - Parameter prepareRAM: Called with the guest's RAM as soon as it is mapped.
  static func successor(
    _ options: VMMOptions, kind: MachineKind, manifest: Manifest, parts: consuming Offer.Parts,
    prepareRAM: (SharedMapping) -> Void
  ) throws -> GuestInstance {
    guard manifest.files.count == 1, manifest.regions.count == 1,
      manifest.regions[0].byteCount == UInt64(options.configuration.ramBytes),
      Int(manifest.vcpuCount) == options.configuration.vcpuCount
    else {
      throw BatonError.unacceptable(
        .badManifest,
        "the guest has \(manifest.ramByteCount) bytes of RAM and \(manifest.vcpuCount) vCPUs, "
          + "this VMM was started for \(options.configuration.ramBytes) and "
          + "\(options.configuration.vcpuCount)")
    }
    guard (manifest.way == .none) == (options.sev == .none) else {
      throw BatonError.unacceptable(.badManifest, "source and successor differ in --sev")
    }
    let facts = SEVGuestFacts(manifest.details)
    guard options.sev == .none || facts != nil else {
      throw BatonError.unacceptable(.badManifest, "the manifest has no facts about the SEV guest")
    }
    guard var ram = parts.ram.popFirst() else {
      throw BatonError.unacceptable(.descriptorMismatch, "the offer has no RAM")
    }
    var mapping = try SharedMapping(ram, byteCount: options.configuration.ramBytes)
    prepareRAM(mapping)
    let original = mapping
    if options.misbehaviour == .copyRAM {
      ram = try freshRAM(options)
      mapping = try SharedMapping(ram, byteCount: options.configuration.ramBytes)
    }
    try mapping.keepPrivate()
    var console: Console?
    var disk: Disk?
    var names: [String] = []
    var named = DescriptorList()
    for name in manifest.names {
      guard let descriptor = parts.named.popFirst() else { break }
      switch name {
      case consoleName: console = Console(descriptor)
      case diskName: disk = try Disk(adopting: descriptor)
      default:
        names.append(name)
        named.append(descriptor)
      }
    }
    let devices = MachineDevices(console: console ?? Console(), disk: disk)
    let sev = try facts.map { facts in try SEVContext.target(manifest.way, facts, options) }
    let view = try privateView(sev, mapping, ram, options)
    // What the guest said comes with its state.
    let memoryStatus = sev == nil ? nil : MemoryStatus(isOffered: false, saysReady: false)
    let machine = try make(
      kind, mapping, view, memoryStatus, options.configuration, devices, isFresh: false)
    let instance = GuestInstance(
      options, kind: kind, ram: ram, mapping: mapping, devices: devices, named: named, names: names,
      machine: machine, sev: sev, memoryStatus: memoryStatus)
    if options.misbehaviour == .copyRAM { instance.original = original }
    return instance
  }

  /// Copies what the source left behind, when that is how this VMM misbehaves.
  func copyRAM() {
    guard let original else { return }
    for offset in stride(from: 0, to: original.byteCount, by: 1 << 20) {
      mapping.write(original.read(at: offset, count: min(1 << 20, original.byteCount - offset)), at: offset)
    }
  }

  static let consoleName = "console"
  static let diskName = "disk"

  private static func privateView(
    _ sev: SEVContext?, _ mapping: SharedMapping, _ ram: borrowing OwnedDescriptor, _ options: VMMOptions,
    inSpare: Bool = false
  ) throws -> [PrivateMemory] {
    guard let sev else { return [] }
    return try sev.privateMemory(
      of: GuestMemory(mapping, of: try ram.identity()), vcpus: options.configuration.vcpuCount,
      inSpare: inSpare)
  }

  /// - Parameter view: How software vCPUs see private memory, one for each; none where they see what is in RAM.
  private static func make(
    _ kind: MachineKind, _ mapping: SharedMapping, _ view: [PrivateMemory], _ memoryStatus: MemoryStatus?,
    _ configuration: MachineConfiguration, _ devices: MachineDevices, isFresh: Bool
  ) throws(MachineError) -> any Machine {
    switch (kind, isFresh) {
    case (.software, true):
      try SoftwareMachine.loadingGuest(
        into: mapping, configuration, devices: devices, seenThrough: view, memoryStatus: memoryStatus)
    case (.software, false):
      try SoftwareMachine.awaitingGuest(
        in: mapping, configuration, devices: devices, seenThrough: view, memoryStatus: memoryStatus)
    case (.kvm, true): try KVMMachine.loadingGuest(into: mapping, configuration, devices: devices)
    case (.kvm, false): try KVMMachine.awaitingGuest(in: mapping, configuration, devices: devices)
    }
  }

  /// Opens `fd:N` or a path for appending.
  static func open(_ place: String) throws(SystemError) -> OwnedDescriptor {
    if place.hasPrefix("fd:"), let number = Int32(place.dropFirst(3)) {
      var list = try DescriptorList(duplicating: [number])
      if let descriptor = list.popFirst() { return descriptor }
    }
    return try Files.open(place, .append)
  }

  // MARK: Handing over

  /// What travels with the guest.
  func manifest() throws(SystemError) -> Manifest {
    let identity = try ram.identity()
    return Manifest(
      way: sev?.way ?? .none, vcpuCount: UInt16(options.configuration.vcpuCount),
      files: [
        RAMFile(device: identity.device, inode: identity.inode, byteCount: identity.byteCount)
      ],
      regions: [
        RAMRegion(
          guestPhysicalAddress: 0, byteCount: UInt64(options.configuration.ramBytes), file: 0,
          fileOffset: 0)
      ],
      hasVM: givesVM,
      names: deviceNames + names,
      format: StateFormat(name: Self.formatName, version: options.stateFormat, features: features),
      details: sev?.facts.encoded() ?? [])
  }

  /// Whether this process's VM goes along; with way `move` it is the baton.
  private var givesVM: Bool {
    switch sev?.way {
    case .token: options.givesCustody
    case .move: true
    case .none?, nil: false
    }
  }

  /// The VMs that only custody wants (way `move`): of a successor its own, of a source the one to take back into.
  var successorVMNumber: Int32? { options.givesCustody ? sev?.vmNumber : nil }
  var takeBackVMNumber: Int32? {
    sev?.way == .move && options.givesCustody ? sev?.spareNumber : nil
  }

  var features: UInt64 {
    (kind == .kvm ? MachineStateFormat.Feature.kvmVCPUs : MachineStateFormat.Feature.softwareVCPUs)
      | (devices.disk == nil ? 0 : MachineStateFormat.Feature.disk)
      | (carriesMemoryStatus ? MachineStateFormat.Feature.memoryStatus : 0)
  }

  private var carriesMemoryStatus: Bool {
    memoryStatus != nil && kind == .software && options.stateFormat >= 2
  }

  private var deviceNames: [String] {
    let console = (try? devices.console.duplicateDescriptor()) ?? nil
    return (console == nil ? [] : [Self.consoleName]) + (devices.disk == nil ? [] : [Self.diskName])
  }

  /// Second descriptors of the devices, in the manifest's order, and the user's own.
  func namedDescriptors() throws(SystemError) -> DescriptorList {
    var list = DescriptorList()
    if let console = try devices.console.duplicateDescriptor() { list.append(console) }
    if let disk = devices.disk { list.append(try disk.duplicateDescriptor()) }
    list.append(contentsOf: try named.duplicate())
    return list
  }

  /// Makes what taking back needs, while the guest runs.
  func prepareTakeBack() throws {
    guard let sev else { return }
    dropTakeBack()
    try sev.makeSpare()
    let view = try Self.privateView(sev, mapping, ram, options, inSpare: true)
    spare = try Self.make(
      kind, mapping, view, memoryStatus, options.configuration, devices, isFresh: false)
  }

  func dropTakeBack() {
    spare?.end()
    spare = nil
    sev?.dropSpare()
  }

  /// The machine made ahead takes the place of the one whose context was given away.
  func switchToSpare(restoring state: [UInt8]) throws(MachineError) {
    guard let next = spare else { return }
    try next.restore(state)
    machine = next
    spare = nil
  }
}
