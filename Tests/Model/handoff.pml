/*
 * The local handoff: one guest, one registry, a source S and two successors A and B.
 *
 * This file holds the options and puts the parts together; read them in this order:
 *
 *   kernel.pml       what the kernel keeps and destroys: VMs, the guest's context, tokens, descriptors
 *   records.pml      the records, their connections, and what is on the wire
 *   state.pml        what the VMMs and the registry know, and what is in the journal
 *   vmm.pml          a VMM: it attaches as a successor, becomes the owner, and is the source of the next handoff
 *   registry.pml     the registry; every guard and action carries its number from RULES.md
 *   environment.pml  deaths, broken connections, hangs, and the verdict on how a run ended
 *
 * Options. One verifier serves them all: it reads them from the environment when it starts (the script does that).
 * In a simulation by spin itself they are macros: spin -DSIM_WAY=move -DSIM_CRASHES=0 handoff.pml
 *
 *   WAY=none|token|move   as nothing, LOCAL_SEND/LOCAL_RECEIVE, or VM_MOVE_ENC_CONTEXT_FROM
 *   CUSTODY=0|1           the registry keeps descriptors where they survive it (fd store)
 *   CRASHES=n             deaths (of a VMM or the registry) plus broken connections, at any step
 *   HANGS=n               VMMs that stop for ever without dying
 *   SLOW=n                deadlines that pass although the VMM would have answered: it is ended, or told `run` again
 *   HANDOFFS=1|2          attempts in a chain
 *   TABLE=0|1             check the design's failure table cell by cell (with CRASHES=1)
 *   PARK=n                how often an owner asks to be parked (restart in place)
 *   MUTATION=M_name       break one rule, to see that the check bites
 *
 * Properties (all but the second half of P5 are assertions, so one exhaustive run checks them together):
 *
 *   P1  never two processes in KVM_RUN
 *   P2  whoever runs is the owner in the journal, and no handoff of its guest is staged
 *   P3  a baton is with one claimant at a time
 *   P4  the protocol never destroys, and never declares lost or ended, what the kernel keeps; the failure table
 *   P5  every run ends with the guest running, or declared lost or ended, or parked, or an alarm; and it does end
 *       (no cycle at all: a verifier compiled with -DNP, run with -l)
 *   P6  nobody runs from a state older than the guest's last instruction
 *   P7  whoever runs has the guest's context, and a context is never moved from under a running guest
 *   P8  at the end nothing is left in custody and no process is left over
 */
#define none  0
#define token 1
#define move  2

#ifndef SIM_WAY
#define SIM_WAY token
#endif
#ifndef SIM_CUSTODY
#define SIM_CUSTODY 1
#endif
#ifndef SIM_CRASHES
#define SIM_CRASHES 1
#endif
#ifndef SIM_HANGS
#define SIM_HANGS 0
#endif
#ifndef SIM_SLOW
#define SIM_SLOW 0
#endif
#ifndef SIM_HANDOFFS
#define SIM_HANDOFFS 1
#endif
#ifndef SIM_TABLE
#define SIM_TABLE 0
#endif
#ifndef SIM_PARK
#define SIM_PARK 0
#endif
#ifndef SIM_MUTATION
#define SIM_MUTATION 0
#endif
byte WAY = SIM_WAY, CUSTODY = SIM_CUSTODY, CRASHES = SIM_CRASHES, HANGS = SIM_HANGS, SLOW = SIM_SLOW;
byte HANDOFFS = SIM_HANDOFFS, TABLE = SIM_TABLE, PARK = SIM_PARK, MUTATION = SIM_MUTATION;

c_code {
  static unsigned char option(const char *name) { const char *text = getenv(name); return text ? atoi(text) : 0; }
}
inline chooseOptions() {               /* spin's simulation has no C and keeps the values above */
  c_code {
    now.WAY = option("WAY"); now.CUSTODY = option("CUSTODY"); now.HANDOFFS = option("HANDOFFS");
    now.CRASHES = option("CRASHES"); now.HANGS = option("HANGS"); now.SLOW = option("SLOW");
    now.TABLE = option("TABLE"); now.PARK = option("PARK"); now.MUTATION = option("MUTATION");
  }
}

/* Mutations: each breaks one rule, and each must be found */
#define broken(m) (MUTATION==(m))
#define M_VCPUS_GO_ON                 1   /* the source's vCPUs run on while its state is saved */
#define M_UNACKNOWLEDGED              2   /* the source resumes because its `staged` was not acknowledged */
#define M_SOURCE_WITHOUT_VERDICT      3   /* the source takes back at its own deadline and runs */
#define M_SUCCESSOR_WITHOUT_VERDICT   4   /* the successor runs because its registry is gone */
#define M_TOOK_BACK_RUNS              5   /* the source runs as soon as it took back, before the verdict */
#define M_ANY_EPOCH                   6   /* a VMM obeys a verdict of an epoch that is not newer */
#define M_OLD_VM                      7   /* the source goes back to its old VM when that looks alive */
#define M_OLD_RECORDS                 8   /* a VMM obeys records of an older connection */
#define M_SILENT_RECONNECT            9   /* a VMM does not say where it stands when it reconnects */
#define M_RECEIVED_ONCE              10   /* a VMM does not say `received` again when it reconnects */
#define M_WRITES_RAM                 11   /* the successor writes guest RAM before the verdict */
#define M_SEND_UNHEARD               12   /* the registry sends before it was told where the VMM stands */
#define M_NO_DRAIN                   13   /* a dead process's last records are not waited for */
#define M_STALE_RELEASE              14   /* a release that is due is sent although the VMM attached again */
#define M_DROP_NUMBER                15   /* the handoff number is not journalled */
#define M_DROP_STAGED                16   /* `staged` is not journalled */
#define M_DROP_CLAIM                 17   /* `claimed` is not journalled */
#define M_DROP_COMMIT                18   /* the commit is not journalled */
#define M_DROP_ROLLBACK              19   /* taking back is not journalled before it is ordered */
#define M_DROP_BACK                  20   /* the source's new epoch is not journalled */
#define M_CLAIM_BEFORE_JOURNAL       21   /* the claim is sent before the journal says so */
#define M_GIVE_TWICE                 22   /* at a deadline the baton is given to the next claimant too */
#define M_GIVE_ALL_VMS               23   /* a claimant gets the VMs of living processes too */
#define M_GIVE_TAKE_BACK_VM          24   /* a claimant gets the source's take-back VM too */
#define M_COMMIT_DEAD                25   /* a successor that died after `received` gets the guest */
#define M_COMMIT_ENDED               26   /* a successor that the registry is ending gets the guest */
#define M_LATE_RECEIVED              27   /* way none: a `received` after the decision to take back counts */
#define M_GUESS_DEAD                 28   /* the source resumes after a guess that the successor is dead */
#define M_LOST_UNPROBED              29   /* a dead claimant is taken for the end of the context */
#define M_SAME_EPOCH                 30   /* taking back does not raise the epoch */
#define M_REUSE_NUMBER               31   /* handoff numbers are reused */
#define M_NO_ACK                     32   /* a sent verdict counts as an answered one */
#define M_OLD_OWNER_STAYS            33   /* the old owner is not released after the commit */
#define M_STUCK_CANDIDATE            34   /* an unreachable candidate keeps its place before one that waits */
#define M_CUSTODY_STAYS              35   /* custody is not emptied */
#define M_EARLY_VM                   36   /* a successor sees the source's VM before it has the claim */
#define M_FORGET_DEAD_VMS            37   /* whoever takes next does not get the VMs of the dead */
#define M_NO_SUCCESSOR_VM            38   /* the claimant's VM is not in custody */
#define M_PARK_RELEASE_EARLY         39   /* an owner that is to be parked is released before `staged` is in the journal */
#define M_PARK_WITHOUT_VM            40   /* an owner is parked although its VM is not in custody */
#define M_PARK_TAKE_BACK             41   /* what an owner staged that was let go is given back to it */
#define M_DROP_LET_GO                42   /* that the owner of a parked guest was let go is not journalled */

#include "kernel.pml"
#include "records.pml"
#include "state.pml"
#include "vmm.pml"
#include "registry.pml"
#include "environment.pml"

init {
  atomic {
    chooseOptions();
    alive[S] = 1; alive[A] = 1; alive[B] = 1;
    stance[S] = running; itsEpoch[S] = 1; connected[S] = 1; heard = BIT(S); runConfirmed = 1;
    executing = BIT(S); bundle = BIT(S);
    vmRefs[S] = BIT(VM(S, 0)); vmRefs[A] = BIT(VM(A, 0)); vmRefs[B] = BIT(VM(B, 0));
    stance[A] = attached; stance[B] = attached;
    run registry(); run vmm(S); run vmm(A); run vmm(B); run environment()
  }
}
