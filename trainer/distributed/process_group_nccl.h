/* Ranks whose arrays lie on devices: a queue of its own for what goes round, and NCCL where each rank has a device to
 * itself and NCCL is there. Else `comm` is NULL and arrays go through host memory (gradients_staged.c): NCCL refuses
 * two ranks on one device. Which of the two is found out here, by all ranks alike, and said in one line. */
#ifndef HONE_DISTRIBUTED_PROCESS_GROUP_NCCL_H
#define HONE_DISTRIBUTED_PROCESS_GROUP_NCCL_H

#include "kernels/device.h"
#include "trainer/distributed/process_group.h"

typedef struct DeviceGroup {
    const DeviceRanks *d;
    Stream *compute, *queue; /* the computing one is borrowed */
    DeviceComm *comm;        /* NULL: through host memory */
    int rank;
    char host[64];
} DeviceGroup;

/* Collective. HONE_NCCL=0 asks for host memory. limit_s: for meeting the others; 0: 300. */
Status device_group_open(ProcessGroup *pg, Stream *compute, double limit_s, DeviceGroup **out);
/* Not collective: what another rank still waits for is its loss. Work that is not done is aborted. NULL is fine. */
void device_group_close(DeviceGroup *g);
/* A failure of its queue, or of NCCL on the way, as a status. After the heartbeat has ended the job it does not return
 * before the process is gone: nothing may be made of the arrays then. */
Status device_group_check(DeviceGroup *g);

/* The queue goes on behind what the computing one has so far, and the other way round. */
void device_group_after_compute(DeviceGroup *g, DeviceMark *mark);
void device_group_before_compute(DeviceGroup *g, DeviceMark *mark);

#endif
