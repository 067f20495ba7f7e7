import RegistryInterface
import Testing

@testable import batonctl

@Suite("Moving a guest")
struct MigrationRunTests {
  private static func finished(_ migration: Migration, _ guest: Guest = Samples.guest()) -> FakeRegistry.Step
  {
    .reply(MigrateReply(step: .finished, migration: migration, guest: guest))
  }

  /// The status or failure of a run, and how often the registry was asked for a migration.
  private func run(
    plan: Migration, move: Migration? = nil, after: Guest = Samples.guest(), planOnly: Bool = false,
    accepted: Bool = true, limits: MigrationLimits = MigrationLimits()
  ) throws -> (status: CommandStatus?, failure: CommandFailure?, calls: Int) {
    let count = Count()
    let registry = try FakeRegistry { method in
      guard method == .migrate else { return [] }
      return [count.next() == 1 ? Self.finished(plan) : Self.finished(move ?? plan, after)]
    }
    defer { registry.end() }
    let order = MigrationRun.Order(
      guest: "vm1", host: try #require(RemoteHost(argument: "south")), limits: limits, isPlanOnly: planOnly,
      isAccepted: accepted, socketPath: registry.path)
    do throws(CommandFailure) {
      let status = try MigrationRun(order, printer: Printer(json: false, quiet: true)).run()
      return (status, nil, registry.calls.count)
    } catch {
      return (nil, error, registry.calls.count)
    }
  }

  private static let planned = Samples.migration(.done, .planned, progress: Samples.plan)

  @Test("plans first and moves it then")
  func moves() throws {
    let result = try run(
      plan: Self.planned, move: Samples.migration(.done, .migrated, progress: Samples.plan),
      after: Samples.guest(.departed))
    #expect(result.status == .success && result.calls == 2)
  }

  @Test("with --plan ends after the plan")
  func planOnly() throws {
    let result = try run(plan: Self.planned, planOnly: true, accepted: false)
    #expect(result.status == .success && result.calls == 1)
  }

  @Test("does not begin with a plan that is not acceptable, accepted or not")
  func unacceptable() throws {
    let endless = Samples.migration(.done, .planned, progress: Samples.endless)
    let result = try run(plan: endless)
    #expect(result.failure?.status == .preflightFailed && result.calls == 1)
    var limits = MigrationLimits()
    limits.allowsNonconvergence = true
    let allowed = try run(
      plan: endless, move: Samples.migration(.done, .migrated, progress: Samples.plan),
      after: Samples.guest(.departed), limits: limits)
    #expect(allowed.status == .success && allowed.calls == 2)
  }

  @Test("ends with the status of where the guest is")
  func statuses() throws {
    let refusal = Refusal(name: "linkLost", sentence: "the connection broke; it runs on", by: .source)
    let stayed = try run(
      plan: Self.planned, move: Samples.migration(.failed, .stayed, refusal: refusal))
    #expect(stayed.failure?.status == .guestAtSource)
    let open = Samples.migration(.departed)
    let waits = try run(
      plan: Self.planned, move: open, after: Samples.guest(.departed, open, alarm: "batonctl settle vm1"))
    #expect(waits.failure?.status == .guestWaits)
    #expect(waits.failure?.remedy == "run: batonctl settle vm1")
  }

  @Test("tries again when the target has just taken part in the plan and does not wait yet")
  func comeback() throws {
    let count = Count()
    let refusal = Refusal(name: "targetNotWaiting", sentence: "no VMM waits; it runs on", by: .source)
    let registry = try FakeRegistry { method in
      guard method == .migrate else { return [] }
      switch count.next() {
      case 1: return [Self.finished(Self.planned)]
      case 2: return [Self.finished(Samples.migration(.failed, .stayed, refusal: refusal))]
      case _:
        let moved = Samples.migration(.done, .migrated, progress: Samples.plan)
        return [Self.finished(moved, Samples.guest(.departed))]
      }
    }
    defer { registry.end() }
    let order = MigrationRun.Order(
      guest: "vm1", host: try #require(RemoteHost(argument: "south")), isAccepted: true,
      socketPath: registry.path)
    #expect(try MigrationRun(order, printer: Printer(json: false, quiet: true)).run() == .success)
    #expect(registry.calls.count == 3)
  }

  /// Counts calls on whichever thread.
  private final class Count: @unchecked Sendable {
    private var value = 0
    func next() -> Int {
      value += 1
      return value
    }
  }
}

@Suite("The command settle")
struct SettleRunTests {
  private func settle(
    _ guest: Guest, sidecar answer: String, word: SettleRun.Word? = nil
  ) throws -> (sentence: String?, failure: CommandFailure?, calls: [RegistryMethod], questions: [String]) {
    let registry = try FakeRegistry { method in
      switch method {
      case .describe: return [.reply(DescribeReply(guest: guest, handoffs: []))]
      case .settle: return [.reply(SettleReply(state: .over, guest: guest))]
      case .confirm: return [.reply(ConfirmReply(guest: guest))]
      case _: return []
      }
    }
    defer { registry.end() }
    let sidecar = try FakeSidecar(answer)
    defer { sidecar.end() }
    let run = SettleRun(
      guest: "vm1", peer: nil, word: word, socketPath: registry.path, sidecarPath: sidecar.path,
      timeoutNanoseconds: nil)
    do throws(CommandFailure) {
      let (_, result) = try run.run()
      return (result.sentence, nil, registry.calls, sidecar.questions)
    } catch {
      return (nil, error, registry.calls, sidecar.questions)
    }
  }

  private let departed = Samples.guest(.departed, Samples.migration(.departed))
  private let arrived = Samples.guest(.arriving, Samples.migration(.arrived, role: .target))

  @Test("asks the other side and says what came out; the receipt passes it by")
  func asks() throws {
    let source = try settle(departed, sidecar: "ok departed running")
    #expect(source.sentence == "it runs on south; both registries know it now")
    #expect(source.questions == ["settle south vm1 00112233445566778899aabbccddeeff\n"])
    #expect(source.calls == [.describe])
    let target = try settle(arrived, sidecar: "ok departed running")
    #expect(target.sentence == "it runs here now; both registries know it now")
    #expect(target.calls == [.describe])
  }

  @Test("tells the registry that the source kept it")
  func stays() throws {
    let result = try settle(arrived, sidecar: "ok stays arrived")
    #expect(result.sentence == "north kept it; what came here was let go")
    #expect(result.calls == [.describe, .settle])
  }

  @Test("leaves a guest waiting whose other side cannot be asked")
  func unreachable() throws {
    let result = try settle(arrived, sidecar: "error remoteUnreachable no route to north")
    #expect(result.failure?.status == .guestWaits)
    #expect(result.failure?.cause == "remoteUnreachable: no route to north")
    #expect(result.calls == [.describe])
  }

  @Test("passes a person's word on, on the host that it is for")
  func word() throws {
    #expect(try settle(departed, sidecar: "", word: .lost).calls == [.describe, .confirm])
    #expect(try settle(arrived, sidecar: "", word: .stays).calls == [.describe, .settle])
    for (guest, word) in [(departed, SettleRun.Word.stays), (arrived, .lost)] {
      let result = try settle(guest, sidecar: "", word: word)
      #expect(result.failure?.status == .failure && result.calls == [.describe])
      #expect(result.questions.isEmpty)
    }
  }

  @Test("has nothing to do where nothing is open, and asks nobody")
  func nothing() throws {
    let result = try settle(Samples.guest(), sidecar: "ok departed running")
    #expect(result.failure?.status == .nothingToAbort && result.questions.isEmpty)
  }
}
