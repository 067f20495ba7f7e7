import FoundationEssentials
import RegistryInterface
import Testing
import Varlink

@Suite("io.baton.Registry")
struct RegistryInterfaceTests {
  let interface = BatonRegistry.description

  /// A Swift value fits fields exactly: nothing undeclared, nothing declared that is missing. The sample must have
  /// every optional field set.
  func expectFit(_ value: some Encodable, _ fields: [InterfaceDescription.Field], _ what: String) throws {
    let bytes = try JSONParameters(encoding: value).bytes
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(interface.firstMismatch(in: bytes, with: fields) == nil, "\(what): \(text)")
    // A nullable field that Swift does not know would go unnoticed above.
    let strict = fields.map(required)
    #expect(interface.firstMismatch(in: bytes, with: strict) == nil, "\(what) lacks a field: \(text)")
  }

  func required(_ field: InterfaceDescription.Field) -> InterfaceDescription.Field {
    guard case .nullable(let type) = field.type else { return field }
    return .init(name: field.name, type: type, documentation: field.documentation)
  }

  func fields(of type: String) throws -> [InterfaceDescription.Field] {
    guard case .structure(let fields)? = interface.types[type]?.type else {
      Issue.record("\(type) is not declared")
      return []
    }
    return fields
  }

  func cases(of type: String) -> [String] {
    guard case .enumeration(let cases)? = interface.types[type]?.type else { return [] }
    return cases.map(\.name)
  }

  @Test("has a well-formed text with its name and the methods that Swift knows")
  func text() {
    #expect(interface.name == BatonRegistry.name)
    #expect(Set(interface.methods.keys) == Set(RegistryMethod.allCases.map(\.rawValue)))
    #expect(ServiceInterface.description.name == ServiceInterface.name)
  }

  @Test("has a text that stands word for word in the documentation")
  func guide() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let guide = String(decoding: try Data(contentsOf: root.appending(path: "Docs/varlink.md")), as: UTF8.self)
    #expect(guide.contains("```varlink\n\(BatonRegistry.text)```\n"))
  }

  @Test("documents every type, field, value, method and error")
  func documentation() {
    func check(_ type: InterfaceDescription.ValueType, _ path: String) {
      switch type {
      case .structure(let fields):
        for field in fields {
          #expect(!field.documentation.isEmpty, "\(path).\(field.name)")
          check(field.type, "\(path).\(field.name)")
        }
      case .enumeration(let cases):
        for value in cases { #expect(!value.documentation.isEmpty, "\(path).\(value.name)") }
      case .nullable(let inner), .array(let inner), .map(let inner): check(inner, path)
      case .boolean, .integer, .float, .string, .object, .any, .named: break
      }
    }
    #expect(!interface.documentation.isEmpty)
    for type in interface.types.values {
      #expect(!type.documentation.isEmpty, "\(type.name)")
      check(type.type, type.name)
    }
    for method in interface.methods.values {
      #expect(!method.documentation.isEmpty, "\(method.name)")
      check(.structure(method.input), method.name)
      check(.structure(method.output), method.name)
    }
    for error in interface.errors.values {
      #expect(!error.documentation.isEmpty, "\(error.name)")
      check(.structure(error.parameters), error.name)
    }
  }

  @Test("declares the inputs of its methods as Swift writes them")
  func inputs() throws {
    func input(_ method: RegistryMethod) throws -> [InterfaceDescription.Field] {
      try #require(interface.methods[method.rawValue]).input
    }
    try expectFit(NoParameters(), try input(.list), "List")
    try expectFit(NoParameters(), try input(.metrics), "Metrics")
    try expectFit(DescribeRequest(guest: "vm1", handoff: 7), try input(.describe), "Describe")
    try expectFit(WatchRequest(guest: "vm1"), try input(.watch), "Watch")
    try expectFit(PreflightRequest(guest: "vm1"), try input(.preflight), "Preflight")
    try expectFit(
      UpgradeRequest(guest: "vm1", deadlineMicroseconds: 1, ignorePreflight: true), try input(.upgrade),
      "Upgrade")
    try expectFit(AbortRequest(guest: "vm1", handoff: 7), try input(.abort), "Abort")
    try expectFit(MigrateRequest(guest: "vm1", request: Samples.wish), try input(.migrate), "Migrate")
    try expectFit(
      SettleRequest(guest: "vm1", id: "00", receipt: "11", cancelled: true), try input(.settle), "Settle")
    try expectFit(ConfirmRequest(guest: "vm1", id: "00"), try input(.confirm), "Confirm")
    let question = MigrationQuestion(id: "00", guest: "vm1")
    try expectFit(question, try input(.departure), "Departure")
    try expectFit(question, try input(.arrival), "Arrival")
  }

  @Test("declares the outputs of its methods as Swift writes them")
  func outputs() throws {
    func output(_ method: RegistryMethod) throws -> [InterfaceDescription.Field] {
      try #require(interface.methods[method.rawValue]).output
    }
    let guest = Samples.guest
    let handoff = Samples.handoff
    try expectFit(ListReply(guests: [guest]), try output(.list), "List")
    try expectFit(DescribeReply(guest: guest, handoffs: [handoff]), try output(.describe), "Describe")
    try expectFit(
      WatchEvent(
        sequence: 0, realtimeMicroseconds: 1, kind: .snapshot, guests: [guest], guest: guest,
        handoff: handoff, phase: handoff.phases[0], migration: Samples.migration), try output(.watch), "Watch"
    )
    try expectFit(PreflightReply(guest: "vm1", checks: [Samples.check]), try output(.preflight), "Preflight")
    try expectFit(
      UpgradeReply(
        step: .finished, number: 7, guest: guest, phase: handoff.phases[0], handoff: handoff),
      try output(.upgrade), "Upgrade")
    try expectFit(AbortReply(number: 7, outcome: .aborted, guest: guest), try output(.abort), "Abort")
    try expectFit(Samples.metrics, try output(.metrics), "Metrics")
    try expectFit(
      MigrateReply(step: .finished, migration: Samples.migration, guest: guest), try output(.migrate),
      "Migrate")
    try expectFit(SettleReply(state: .running, guest: guest), try output(.settle), "Settle")
    try expectFit(ConfirmReply(guest: guest), try output(.confirm), "Confirm")
    try expectFit(
      DepartureReply(state: .departed, guest: "vm1", host: "south.test", receipt: "11"),
      try output(.departure), "Departure")
    try expectFit(
      ArrivalReply(state: .arrived, guest: "vm1", host: "north.test"), try output(.arrival), "Arrival")
  }

  @Test("declares its structures as Swift writes them")
  func structures() throws {
    try expectFit(Samples.process, try fields(of: "Process"), "Process")
    try expectFit(try #require(Samples.guest.alarm), try fields(of: "Alarm"), "Alarm")
    try expectFit(Samples.guest, try fields(of: "Guest"), "Guest")
    try expectFit(Samples.handoff, try fields(of: "Handoff"), "Handoff")
    try expectFit(Samples.migration, try fields(of: "Migration"), "Migration")
    try expectFit(
      try #require(Samples.migration.progress), try fields(of: "MigrationProgress"), "MigrationProgress")
    try expectFit(Samples.wish, try fields(of: "MigrationWish"), "MigrationWish")
    try expectFit(Samples.phases[0], try fields(of: "Phase"), "Phase")
    try expectFit(try #require(Samples.handoff.refusal), try fields(of: "Refusal"), "Refusal")
    try expectFit(Samples.check, try fields(of: "Check"), "Check")
    try expectFit(Samples.metrics.counters, try fields(of: "Counters"), "Counters")
    let histogram = Samples.metrics.histograms[0]
    try expectFit(histogram, try fields(of: "Histogram"), "Histogram")
    try expectFit(try #require(histogram.buckets?.first), try fields(of: "Bucket"), "Bucket")
    try expectFit(
      try #require(Samples.metrics.counters.attempts?.first), try fields(of: "AttemptCount"), "AttemptCount")
    try expectFit(try #require(Samples.metrics.build), try fields(of: "Build"), "Build")
    try expectFit(
      try #require(Samples.guest.barredSlots?.first), try fields(of: "BarredSlot"), "BarredSlot")
  }

  @Test("declares its enumerations with the values that Swift has")
  func enumerations() {
    #expect(cases(of: "GuestState") == GuestState.allCases.map(\.rawValue))
    #expect(cases(of: "Slot") == Slot.allCases.map(\.rawValue))
    #expect(cases(of: "Way") == Way.allCases.map(\.rawValue))
    #expect(cases(of: "Verdict") == CheckVerdict.allCases.map(\.rawValue))
    #expect(cases(of: "PhaseName") == PhaseName.allCases.map(\.rawValue))
    #expect(cases(of: "Outcome") == Outcome.allCases.map(\.rawValue))
    #expect(cases(of: "RefusedBy") == RefusedBy.allCases.map(\.rawValue))
    #expect(cases(of: "EventKind") == EventKind.allCases.map(\.rawValue))
    #expect(cases(of: "UpgradeStep") == UpgradeStep.allCases.map(\.rawValue))
    #expect(cases(of: "MigrationRole") == MigrationRole.allCases.map(\.rawValue))
    #expect(cases(of: "MigrationPhase") == MigrationPhase.allCases.map(\.rawValue))
    #expect(cases(of: "MigrationOutcome") == MigrationOutcome.allCases.map(\.rawValue))
    #expect(cases(of: "MigrateStep") == MigrateStep.allCases.map(\.rawValue))
    #expect(cases(of: "DepartureState") == DepartureState.allCases.map(\.rawValue))
    #expect(cases(of: "ArrivalState") == ArrivalState.allCases.map(\.rawValue))
  }

  @Test("declares its errors as Swift writes them, and reads them back")
  func errors() throws {
    #expect(Set(interface.errors.keys) == Set(Samples.errors.map(\.shortName)))
    for error in Samples.errors {
      let parameters = try JSONParameters(encoding: error.errorParameters)
      let declaration = try #require(interface.errors[error.shortName])
      try expectFit(error.errorParameters, declaration.parameters, error.shortName)
      #expect(try RegistryError(name: error.errorName, parameters: parameters) == error)
    }
    #expect(try RegistryError(name: "io.baton.Registry.Other", parameters: .empty) == nil)
    #expect(throws: ServiceError.invalidParameter(parameter: "guest")) {
      try RegistryError(name: "io.baton.Registry.UnknownGuest", parameters: .empty)
    }
  }

  @Test("carries whole values from a registry to an operator unchanged")
  func roundTrip() throws {
    var client = ClientConnection()
    var server = ServerConnection(
      service: BatonRegistry.service(vendor: "v", product: "p", version: "1", url: "u"))
    try client.call(RegistryMethod.describe.fullName, DescribeRequest(guest: "vm1", handoff: .max))
    server.receive(client.output)
    let call = try #require(try server.nextCall())
    #expect(try call.parameters.decode(DescribeRequest.self) == DescribeRequest(guest: "vm1", handoff: .max))
    let sent = DescribeReply(guest: Samples.guest, handoffs: [Samples.handoff])
    server.reply(to: call.number, sent)
    client.receive(server.output)
    guard case .parameters(let parameters)? = try client.nextReply()?.content else {
      Issue.record("no reply")
      return
    }
    #expect(try parameters.decode(DescribeReply.self) == sent)
  }

  @Test("demands more for Watch only")
  func watchNeedsMore() throws {
    var server = ServerConnection(
      service: BatonRegistry.service(vendor: "v", product: "p", version: "1", url: "u"))
    server.receive(Transcript.bytes(#"{"method":"io.baton.Registry.Watch"}"#))
    #expect(try server.nextCall() == nil)
    #expect(
      Transcript.drain(&server) == [#"{"error":"org.varlink.service.ExpectedMore","parameters":{}}"#])
    server.receive(Transcript.bytes(#"{"method":"io.baton.Registry.Upgrade","parameters":{"guest":"vm1"}}"#))
    #expect(try server.nextCall()?.method == "Upgrade")
  }

  @Test("puts the worst check first: fail, then unknown, then warn")
  func worst() {
    let verdicts: [CheckVerdict] = [.pass, .warn, .unknown, .fail]
    for count in verdicts.indices {
      let checks = verdicts[...count].map { Check(.owner, $0, "") }
      #expect(CheckVerdict.worst(of: checks) == verdicts[count])
    }
    #expect(CheckVerdict.worst(of: []) == .pass)
  }
}
