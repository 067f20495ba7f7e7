import SEVABI

/// KVM_GET_SHARED_PAGES_LIST or KVM_SET_SHARED_PAGES_LIST, as the process makes it.
struct NaiveList: Hashable {
  /// The struct, the number of entries and the entries. Without a buffer its address is 0.
  var structure = NaiveAccess.readWrite
  var count = NaiveAccess.readWrite
  var entriesAccess = NaiveAccess.readWrite
  var hasBuffer = true
  /// Of the buffer, in bytes.
  var size: UInt32 = 1024
  /// What is set: first page and the one behind the last.
  var entries: [[UInt64]] = []
}

/// What a guest says about its pages, a second time. The pages that are shared are a set, one by one.
extension NaiveKernel {
  static let migrationMSR: UInt32 = 0x4B56_4D08

  /// How a guest's instruction ended, as an answer's fields.
  private enum End {
    static func returned(_ value: Int64) -> [UInt64] { [0, UInt64(bitPattern: value)] }
    static func exit(_ values: [UInt64]) -> [UInt64] { [1] + values }
    static let generalProtection: [UInt64] = [2]
    static let done: [UInt64] = [3]
    static func value(_ value: UInt64) -> [UInt64] { [4, value] }
  }

  mutating func hypercall(
    _ number: Int, _ call: UInt64, _ arguments: [UInt64], privilege: UInt8, _ request: NaiveRequest
  ) -> NaiveAnswer {
    if isForeignOrDead(number, request) { return NaiveAnswer(error: .inputOutput) }
    if privilege != 0 { return NaiveAnswer(fields: End.returned(-1)) }
    if call != 12 { return NaiveAnswer(fields: End.returned(-1000)) }
    let (address, count) = (arguments[0], arguments[1])
    let (end, wraps) = (address / 4096).addingReportingOverflow(count)
    guard profile == .v10 else {
      if !machines[number].exitsOnPages { return NaiveAnswer(fields: End.returned(-1000)) }
      if address % 4096 != 0 || count == 0 || wraps { return NaiveAnswer(fields: End.returned(-22)) }
      return NaiveAnswer(fields: End.exit([12] + arguments))
    }
    if !machines[number].isActive { return NaiveAnswer(fields: End.returned(-1000)) }
    if address % 4096 != 0 || wraps { return NaiveAnswer(fields: End.returned(-22)) }
    for page in address / 4096..<end {
      if arguments[2] & 1 != 0 {
        machines[number].sharedPages.remove(page)
      } else {
        machines[number].sharedPages.insert(page)
      }
    }
    return NaiveAnswer(fields: End.returned(0))
  }

  func readMSR(_ number: Int, _ index: UInt32, _ request: NaiveRequest) -> NaiveAnswer {
    if isForeignOrDead(number, request) { return NaiveAnswer(error: .inputOutput) }
    if let end = missing(number, index) { return NaiveAnswer(fields: end) }
    return NaiveAnswer(fields: End.value(machines[number].isReadyToMigrate ? 1 : 0))
  }

  mutating func writeMSR(
    _ number: Int, _ index: UInt32, _ value: UInt64, _ request: NaiveRequest
  ) -> NaiveAnswer {
    if isForeignOrDead(number, request) { return NaiveAnswer(error: .inputOutput) }
    if let end = missing(number, index) { return NaiveAnswer(fields: end) }
    if value > 1 { return NaiveAnswer(fields: End.generalProtection) }
    machines[number].isReadyToMigrate = value == 1
    return NaiveAnswer(fields: End.done)
  }

  /// How an access ends to an MSR that is filtered or that KVM does not have.
  private func missing(_ number: Int, _ index: UInt32) -> [UInt64]? {
    let machine = machines[number]
    let reason: UInt64
    if machine.isMSRDenied, index == Self.migrationMSR {
      reason = 4
    } else if profile == .v10, index == Self.migrationMSR, machine.isActive {
      return nil
    } else {
      reason = 2
    }
    return machine.msrReasons & reason != 0 ? End.exit([reason]) : End.generalProtection
  }

  /// KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_EXIT_HYPERCALL, and one that nobody can enable.
  mutating func enableExits(
    _ number: Int, _ capability: UInt32, _ argument: UInt64, _ request: NaiveRequest
  ) -> KernelError? {
    if isForeignOrDead(number, request) { return .inputOutput }
    switch capability {
    case 188 where argument < 8: machines[number].msrReasons = argument
    case 201 where profile != .v10 && (argument == 0 || argument == 1 << 12):
      machines[number].exitsOnPages = argument != 0
    default: return .invalidArgument
    }
    return nil
  }

  // MARK: The list

  /// The shared pages as ranges, in ascending order.
  private func runs(_ number: Int) -> [[UInt64]] {
    var runs: [[UInt64]] = []
    for page in machines[number].sharedPages.sorted() {
      if let last = runs.last, last[1] == page {
        runs[runs.count - 1][1] = page + 1
      } else {
        runs.append([page, page + 1])
      }
    }
    return runs
  }

  /// What both ioctls check.
  private func listError(_ number: Int, _ list: NaiveList, _ request: NaiveRequest) -> KernelError? {
    if isForeignOrDead(number, request) { return .inputOutput }
    if profile != .v10 { return .notSupported }
    if list.structure == .unmapped { return .badAddress }
    return machines[number].isActive ? nil : .notSupported
  }

  func getSharedPages(_ number: Int, _ list: NaiveList, _ request: NaiveRequest) -> NaiveAnswer {
    if let error = listError(number, list, request) { return NaiveAnswer(error: error) }
    if list.size == 0 || !machines[number].isReadyToMigrate { return NaiveAnswer(error: .invalidArgument) }
    let runs = runs(number)
    if runs.count * 16 > list.size { return NaiveAnswer(error: .tooBig) }
    if !runs.isEmpty, !list.hasBuffer || list.entriesAccess != .readWrite {
      return NaiveAnswer(error: .badAddress)
    }
    if list.count != .readWrite { return NaiveAnswer(error: .badAddress) }
    return NaiveAnswer(fields: [UInt64(runs.count)] + runs.flatMap { $0 })
  }

  mutating func setSharedPages(_ number: Int, _ list: NaiveList, _ request: NaiveRequest) -> NaiveAnswer {
    if let error = listError(number, list, request) { return NaiveAnswer(error: error) }
    if list.count == .unmapped { return NaiveAnswer(error: .badAddress) }
    if !list.hasBuffer || list.entries.isEmpty {
      machines[number].sharedPages = []
      return NaiveAnswer()
    }
    if list.entriesAccess == .unmapped { return NaiveAnswer(error: .badAddress) }
    if list.entries.contains(where: { $0[1] < $0[0] }) { return NaiveAnswer(error: .invalidArgument) }
    for entry in list.entries { machines[number].sharedPages.formUnion(entry[0]..<entry[1]) }
    return NaiveAnswer()
  }
}
