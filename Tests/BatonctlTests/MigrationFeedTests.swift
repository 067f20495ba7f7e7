import LinuxOS
import RegistryInterface
import Testing

@testable import batonctl

@Suite("Following a migration")
struct MigrationFeedTests {
  private static func reply(
    _ step: MigrateStep, _ migration: Migration, _ guest: Guest = Samples.guest()
  ) -> MigrateReply {
    MigrateReply(step: step, migration: migration, guest: guest)
  }

  /// Everything up to the end or a failure.
  private struct Story {
    var words: [String] = []
    var notes: [String] = []
    var end: (migration: Migration, guest: Guest)?
    var failure: CommandFailure?
  }

  private func follow(_ registry: FakeRegistry, cancelAt: MigrationPhase? = nil) -> Story {
    var story = Story()
    do throws(CommandFailure) {
      let feed = try MigrationFeed(
        "vm1", MigrationWish(host: "south"), socketPath: registry.path, timeoutNanoseconds: nil)
      var hasCancelled = false
      while story.end == nil {
        for news in try feed.step() {
          switch news {
          case .note(let text): story.notes.append(text)
          case .finished(let migration, let guest): story.end = (migration, guest)
          case .step(let migration, _):
            story.words.append(migration.words)
            guard migration.phase == cancelAt, !hasCancelled else { continue }
            hasCancelled = true
            story.notes.append(feed.cancel())
          }
        }
        var interests = feed.interests
        let now = MonotonicClock.now()
        let left = feed.wakeTime > now ? feed.wakeTime - now : 0
        if story.end == nil { _ = try? Poller.wait(&interests, timeoutNanoseconds: min(left, 1_000_000_000)) }
      }
    } catch {
      story.failure = error
    }
    return story
  }

  @Test("tells each step and the registry's last word")
  func toTheEnd() throws {
    let registry = try FakeRegistry { method in
      guard method == .migrate else { return [] }
      return [
        .more(Self.reply(.accepted, Samples.migration(.connecting))),
        .more(Self.reply(.progress, Samples.migration(.checking))),
        .more(Self.reply(.progress, Samples.migration(.copying, progress: Samples.plan))),
        .reply(Self.reply(.finished, Samples.migration(.done, .migrated), Samples.guest(.departed))),
      ]
    }
    defer { registry.end() }
    let story = follow(registry)
    #expect(story.words == ["connecting", "checking", "round 1"])
    #expect(story.end?.migration.outcome == .migrated)
    #expect(story.end?.guest.state == .departed)
    #expect(story.failure == nil && story.notes.isEmpty)
  }

  @Test("cancels by Abort, once, and waits for the end")
  func cancels() throws {
    let refusal = Refusal(name: "migrationCancelled", sentence: "it was ended; so", by: .operator)
    let registry = try FakeRegistry { method in
      switch method {
      case .migrate:
        return [
          .more(Self.reply(.accepted, Samples.migration(.copying))), .await(.abort),
          .reply(Self.reply(.finished, Samples.migration(.failed, .stayed, refusal: refusal))),
        ]
      case .abort: return [.reply(AbortReply(number: 0, outcome: .inProgress, guest: Samples.guest()))]
      case _: return []
      }
    }
    defer { registry.end() }
    let story = follow(registry, cancelAt: .copying)
    #expect(story.notes == ["cancelling; waiting until the guest is known to run on"])
    #expect(story.end?.migration.refusal?.name == "migrationCancelled")
    #expect(registry.calls == [.migrate, .abort])
  }

  @Test("says that it is too late to cancel a guest that was given up, and goes on following")
  func tooLate() throws {
    let registry = try FakeRegistry { method in
      switch method {
      case .migrate:
        return [
          .more(Self.reply(.accepted, Samples.migration(.departed))), .await(.abort),
          .reply(Self.reply(.finished, Samples.migration(.done, .migrated))),
        ]
      case .abort:
        return [
          .error(
            .guestDeparted(
              .init(
                guest: "vm1", migration: "00", host: "south", confirmed: false,
                sentence: "it was given to south")))
        ]
      case _: return []
      }
    }
    defer { registry.end() }
    let story = follow(registry, cancelAt: .departed)
    #expect(story.notes == ["cannot be cancelled: it was given to south"])
    #expect(story.end?.migration.outcome == .migrated)
  }

  @Test("goes on after the registry was restarted, by asking about the guest")
  func restart() throws {
    let registry = try FakeRegistry { method in
      switch method {
      case .migrate: return [.more(Self.reply(.accepted, Samples.migration(.copying))), .hangUp]
      case .describe:
        let after = Samples.guest(.departed, Samples.migration(.done, .migrated))
        return [.reply(DescribeReply(guest: after, handoffs: []))]
      case _: return []
      }
    }
    defer { registry.end() }
    let story = follow(registry)
    #expect(story.notes == ["the registry went away; asking again until it is back"])
    #expect(story.end?.migration.outcome == .migrated)
    #expect(registry.calls == [.migrate, .describe])
  }

  @Test("takes an alarm for the end: a person has to settle it")
  func alarm() throws {
    let registry = try FakeRegistry { method in
      switch method {
      case .migrate: return [.more(Self.reply(.accepted, Samples.migration(.departed))), .hangUp]
      case .describe:
        let after = Samples.guest(.departed, Samples.migration(.departed), alarm: "batonctl settle vm1")
        return [.reply(DescribeReply(guest: after, handoffs: []))]
      case _: return []
      }
    }
    defer { registry.end() }
    let end = try #require(follow(registry).end)
    #expect(MigrationEnd(end.migration, end.guest) == .waiting)
  }

  @Test("of what the registry refuses to begin is a failure with that status")
  func refused() throws {
    let registry = try FakeRegistry { _ in
      [.error(.migrationInProgress(.init(guest: "vm1", migration: "00", phase: .copying)))]
    }
    defer { registry.end() }
    #expect(follow(registry).failure?.status == .handoffInProgress)
    let gone = try FakeRegistry { _ in [.hangUp] }
    defer { gone.end() }
    #expect(follow(gone).failure?.status == .registryUnreachable)
  }
}
