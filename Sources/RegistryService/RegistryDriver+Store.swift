import BatonCore
import BatonWire
import LinuxOS
import Systemd

/// Custody that outlives the registry: what comes goes into the descriptor store before anything follows from
/// it, so that no guest is stopped whose descriptors are not safe.
extension RegistryDriver {
  /// Keeps the descriptors of an offer safe, then goes on; at once when there is no store.
  ///
  /// - Parameter next: Gets them back, or why they are not safe. Not called when the VMM no longer speaks.
  func secure(
    _ incoming: IncomingDescriptors, for handoff: UInt64, from connection: VMMConnection, _ guest: GuestName,
    then next: @escaping (IncomingDescriptors, DescriptorFault?) -> Void
  ) {
    guard let custodyStore, let record = registry[guest]?.record, record.handoff == handoff else {
      next(incoming, nil)
      return
    }
    let attempt = StoredAttempt(guest: guest, epoch: record.epoch, handoff: handoff)
    var incoming = incoming
    if case .offer(let manifest) = incoming.shape {
      let user = context(guest).user ?? connection.peer.uid
      do throws(SystemError) {
        incoming.facts = try StoredFacts.create(
          user: user, slot: context(guest).ownerSlot, handoff: handoff, manifest: manifest)
      } catch {
        next(incoming, DescriptorFault(refusal: .quotaExceeded, detail: "\(error)"))
        return
      }
    }
    let complete = incoming
    custodyStore.keep(complete, of: attempt) { [unowned self] failure in
      // What a VMM said on a connection that is gone is void.
      let key = ConnectionKey(guest: guest, process: connection.process.id)
      if connections[key] === connection, !connection.isClosing {
        next(complete, failure.map { storeFault($0, guest) })
      }
      if failure == nil, !isKept(complete, guest) { custodyStore.drop(complete, of: attempt) }
    }
  }

  /// Whether this is what is in custody now.
  private func isKept(_ incoming: IncomingDescriptors, _ guest: GuestName) -> Bool {
    guard let custody = guests[guest]?.custody else { return false }
    switch incoming.shape {
    case .offer, .returned: return custody.ram === incoming.ram
    case .stage: return custody.state === incoming.state
    case .successorVM(let process): return custody.successorVMs[process] === incoming.contextVMs
    }
  }

  private func storeFault(_ failure: DescriptorStore.Failure, _ guest: GuestName) -> DescriptorFault {
    log.write(
      .warning, "descriptors of guest \(guest) are not taken into custody: \(failure)",
      messageID: RegistryMessageID.storeRefused.rawValue, fields: [("BATON_VM", guest.text)])
    return DescriptorFault(refusal: .quotaExceeded, detail: failure.description)
  }

  /// What went into custody goes into the store too, if it did not before: a guest that is presented again after
  /// a restart is stopped already and waits for nobody.
  func store(_ incoming: IncomingDescriptors, _ event: RegistryEvent, _ context: GuestContext) {
    guard let custodyStore, let record = registry[context.name]?.record else { return }
    var incoming = incoming
    if let facts = incoming.facts { context.facts = facts }
    switch incoming.shape {
    case .offer(let manifest), .returned(let manifest):
      if context.facts == nil {
        context.facts = try? StoredFacts.create(
          user: context.user ?? 0, slot: context.ownerSlot, handoff: record.handoff, manifest: manifest)
      }
      incoming.facts = context.facts
    case .stage, .successorVM: break
    }
    // Before the journal says staged.
    if let (handoff, stage) = event.stage { context.facts?.note(stage, handoff: handoff) }
    let attempt = StoredAttempt(guest: context.name, epoch: record.epoch, handoff: record.handoff)
    let complete = incoming
    custodyStore.keep(complete, of: attempt) { [unowned self] failure in
      if let failure {
        _ = storeFault(failure, attempt.guest)
      } else if !isKept(complete, attempt.guest) {
        custodyStore.drop(complete, of: attempt)
      }
    }
  }

  /// Custody is over.
  func emptyStore(_ context: GuestContext) {
    context.facts = nil
    custodyStore?.empty(context.name)
  }
}

extension RegistryEvent {
  /// What was staged, if it says so, and in which handoff.
  fileprivate var stage: (UInt64, Stage)? {
    switch self {
    case .hello(_, let report, _, _, _, _), .report(_, let report, _, _):
      switch report {
      case .staged(let handoff, let stage), .refused(let handoff, _, .some(let stage)): (handoff, stage)
      case .refused, .fresh, .attach, .claiming, .received, .tookBack, .used, .resumed, .running, .offer,
        .ready, .declined, .ended, .described, .park, .departing, .departed, .stays, .confirmed,
        .standsDeparting, .standsArriving, .arrived, .receipt:
        nil
      }
    case .disconnected, .exited, .died, .deadline, .abort, .settled, .migrate, .receiptShown,
      .arrivalCancelled, .departureConfirmed:
      nil
    }
  }
}
